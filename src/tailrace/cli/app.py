"""The typer application: global behaviour of every command. Errors become one line on stderr and an exit code."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from tailrace.cli.cache import cache
from tailrace.cli.database import db
from tailrace.cli.docs import docs
from tailrace.cli.jobs import jobs
from tailrace.cli.metrics import metrics
from tailrace.cli.probe import probe
from tailrace.cli.relay import relay
from tailrace.cli.schema import schema
from tailrace.cli.settings import settings

__all__ = ["app"]

app = typer.Typer(
    name="tailrace",
    help="Makes a slow PostgreSQL-backed Python API fast, and proves it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(schema, name="schema")
app.add_typer(db, name="db")
app.add_typer(cache, name="cache")
app.add_typer(docs, name="docs")
app.add_typer(jobs, name="jobs")
app.add_typer(metrics, name="metrics")
app.command()(probe)
app.command()(relay)
app.command()(settings)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tailrace {version('tailrace')}")
        raise typer.Exit


@app.callback()
def root(
    asked: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something is left to do."""
