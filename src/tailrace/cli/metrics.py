"""``tailrace metrics``: what there is, and files for Prometheus and Grafana, made from the catalogue.

Touches: files, the terminal.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.output import WIDTH, PageFormat, PageFormatOption, failure

if TYPE_CHECKING:
    from tailrace.observe.catalogue import Metric

__all__ = ["metrics", "reference"]

metrics = typer.Typer(help="The catalogue of metrics; dashboards and rules made from it.", no_args_is_help=True)


@metrics.callback()
def root() -> None:
    """The catalogue of metrics; dashboards and rules made from it."""


@metrics.command("list")
def list_metrics(
    words: Annotated[
        str, typer.Argument(help="Only those whose name or description has this.", show_default=False)
    ] = "",
    output: PageFormatOption = PageFormat.text,
) -> None:
    """Every metric: its name for Prometheus, its kind, its labels, what it is."""
    looked_for = words.casefold()
    found = {
        part: [each for each in described if looked_for in f"{each['name']} {each['description']}".casefold()]
        for part, described in _catalogue().items()
    }
    if output is PageFormat.json:
        typer.echo(json.dumps([each for part in found.values() for each in part], indent=2))
        return
    for line in _markdown(found) if output is PageFormat.markdown else _text(found):
        typer.echo(line)


def reference() -> str:
    """The page of all metrics, as Markdown."""
    return "\n".join(_markdown(_catalogue())) + "\n"


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


def _catalogue() -> dict[str, list[dict[str, str]]]:
    from tailrace.observe.catalogue import PARTS

    return {title: [_described(title, metric) for metric in part] for title, part in PARTS.items()}


def _described(part: str, metric: Metric) -> dict[str, str]:
    from tailrace.observe.prometheus import prometheus_label, prometheus_name

    return {
        "name": prometheus_name(metric),
        "part": part,
        "kind": metric.kind,
        "unit": {"s": "seconds", "By": "bytes", "1": "share"}.get(metric.unit, metric.unit.strip("{}")),
        "labels": ", ".join(map(prometheus_label, metric.labels)),
        "opentelemetry": metric.name,
        "description": metric.description,
    }


def _text(found: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    for each in (each for part in found.values() for each in part):
        labels = f"{{{each['labels']}}}" if each["labels"] else ""
        yield f"{each['name']}{labels}"
        words = f"{each['description']} {each['kind'].capitalize()}, {each['unit']}."
        yield textwrap.fill(words, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _markdown(found: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "What `/metrics` has, by part; `tailrace metrics list WORD` shows those about something,"
    yield "`tailrace metrics list --format markdown` writes this page. Names are OpenTelemetry's as Prometheus writes"
    yield "them; those of Tailrace's own begin with `tailrace_`. A histogram has `_bucket`, `_sum` and `_count`."
    yield "[Rules and dashboards](../how-to/prometheus.md) are made from the same catalogue."
    for part, described in found.items():
        if described:
            yield from ("", f"## {part}", "", "| metric | kind | unit | labels | |", "|---|---|---|---|---|")
            for each in described:
                labels = ", ".join(f"`{label}`" for label in each["labels"].split(", ") if label)
                yield f"| `{each['name']}` | {each['kind']} | {each['unit']} | {labels} | {each['description']} |"
