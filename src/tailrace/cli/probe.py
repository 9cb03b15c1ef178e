"""``tailrace probe``: what a running service's front door does, and what falls short. Touches: terminal, network.

With ``--format json`` one JSON document goes to stdout and nothing else does.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.output import LEFT_TO_DO, Format, FormatOption, failure
from tailrace.errors import SettingsError, TailraceError

if TYPE_CHECKING:
    from tailrace.verify.probe import Report

__all__ = ["HeaderOption", "probe", "read_headers"]

HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", "-H", help='Sent with every request: "Name: value". Never shown.', show_default=False),
]

MARKS = {"good": "ok   ", "note": "note ", "short": "SHORT"}
COLOURS = {"good": "green", "note": "yellow", "short": "red"}


def probe(
    url: Annotated[str, typer.Argument(help="An address of the service that answers 200 to GET.")],
    header: HeaderOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="One of the checks: compression, caching, ids, errors, pagination, limits; may be repeated."),
    ] = None,
    burst: Annotated[
        int, typer.Option(min=0, max=10_000, help="Requests to send at once, to see whether there is a limit.")
    ] = 0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each request.")] = 10.0,
    output: FormatOption = Format.text,
) -> None:
    """Say what a service does about compression, caching, ids, errors, pages and limits. Exit code 3: some falls short.

    Only GET, HEAD and TRACE are sent: nothing is changed.
    """
    from tailrace.verify.probe import CHECKS
    from tailrace.verify.probe import probe as look

    unknown = sorted(set(only or ()) - set(CHECKS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: the checks are {', '.join(CHECKS)}", param_hint="--only")
    try:
        work = look(url, headers=read_headers(header), timeout=timeout, burst=burst, only=only or CHECKS)
        report = asyncio.run(work)
    except SettingsError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from error
    except TailraceError as error:
        raise failure(error) from error
    _show(report, output)
    if report.short:
        raise typer.Exit(LEFT_TO_DO)


def read_headers(given: list[str] | None) -> dict[str, str]:
    """The headers of a ``HeaderOption``.

    Raises:
        BadParameter: one of them is none.
    """
    found = {}
    for line in given or ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or any(c in line for c in "\r\n"):
            raise typer.BadParameter('a header is written "Name: value"', param_hint="--header")
        found[name.strip()] = value.strip()
    return found


def _show(report: Report, output: Format) -> None:
    if output is Format.json:
        document = {"url": report.url, "status": report.status, "findings": [asdict(f) for f in report.findings]}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{report.url} answers {report.status}")
    check = ""
    for finding in report.findings:
        if finding.check != check:
            check = finding.check
            typer.echo(f"\n{check}")
        source = f"  ({finding.source})" if finding.source and finding.level != "good" else ""
        typer.secho(f"  {MARKS[finding.level]} ", nl=False, fg=COLOURS[finding.level])
        typer.echo(f"{finding.message}{source}")
    count = len(report.short)
    typer.echo(f"\n{count} fall{'s' if count == 1 else ''} short" if count else "\nnothing falls short")
