"""The command ``tailrace-services prepare``: what services need of a server. Touches: databases, the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from tailrace_services.data.scale_name import ScaleName

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def prepare(
    scale: Annotated[ScaleName | None, typer.Option(help="How much is generated; by default what is there.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Generate anew; removes imported rows too.")] = False,
) -> None:
    """Ready every service's databases on the server of TAILRACE_DATABASE_URL: tables, rows, Tailrace's objects.

    It can be stopped anywhere and run again; what is there already is not done again. Behind PgBouncer,
    TAILRACE_DATABASE__DIRECT_URL names the server itself, which is needed for this.
    """
    import asyncio

    from tailrace_services.deployed.preparation import prepare_all

    asyncio.run(prepare_all(scale.value if scale else None, replace=replace))
