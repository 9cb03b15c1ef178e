"""The command ``tailrace-services up``. What it does is loaded when it runs, so that ``--help`` is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailrace_services.data.scale_name import ScaleName

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(
    scale: Annotated[ScaleName | None, typer.Option(help="How much is generated; by default what is there.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 is any free one.")] = 8000,
    home: Annotated[Path | None, typer.Option(help="Where data is kept; by default TAILRACE_HOME.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve.")] = 1,
    replace: Annotated[bool, typer.Option("--replace", help="Generate anew; removes imported rows too.")] = False,
) -> None:
    """Start PostgreSQL, Valkey, the voice provider's simulator and the services; serve until Ctrl-C."""
    from tailrace.embedded import default_home
    from tailrace_services.up.run import Options, run

    folder = home.expanduser().absolute() if home else default_home()
    run(Options(scale.value if scale else None, port, folder, workers, replace))
