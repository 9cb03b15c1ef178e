"""``tailrace metrics``: files for Prometheus and Grafana, made from the catalogue. Touches: files, the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tailrace.cli.output import failure

__all__ = ["metrics"]

metrics = typer.Typer(help="Dashboards and rules, made from the catalogue of metrics.", no_args_is_help=True)


@metrics.callback()
def root() -> None:
    """Dashboards and rules, made from the catalogue of metrics."""


@metrics.command()
def dashboards(folder: Annotated[Path, typer.Argument(help="Where they are written; made if need be.")]) -> None:
    """Write Grafana's dashboards: one of everything, one of each part."""
    from tailrace.observe.grafana import dashboards as made

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, document in made().items():
            (folder / name).write_text(json.dumps(document, indent=1) + "\n")
            typer.echo(folder / name)
    except OSError as error:
        raise failure(error) from error


@metrics.command()
def rules(
    file: Annotated[Path, typer.Argument(help="What is written.")],
    success: Annotated[float, typer.Option(help="Share of requests that must not fail.")] = 0.999,
    latency: Annotated[float, typer.Option(help="Seconds within which a request is quick: a bucket's bound.")] = 0.5,
    quick: Annotated[float, typer.Option(help="Share of requests that must be quick.")] = 0.99,
    hits: Annotated[float, typer.Option(help="Least share of look-ups that a cache answers.")] = 0.5,
    fresh: Annotated[float, typer.Option(help="Most seconds for which news of writes may be late.")] = 1.0,
) -> None:
    """Write Prometheus's recording and alert rules."""
    from tailrace.observe.rules import Objectives, rules_file

    try:
        file.write_text(rules_file(Objectives(success, latency, quick, hits, fresh)))
    except (ValueError, OSError) as error:
        raise failure(error) from error
    typer.echo(file)
