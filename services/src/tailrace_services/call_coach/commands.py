"""``tailrace-services call-coach``: migrate, generate, status, import, metrics. Touches: terminal, files, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a file that is refused.
"""

from __future__ import annotations

import asyncio
import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tailrace.errors import RequestError
from tailrace_services.call_coach.data import DATA
from tailrace_services.call_coach.importer import (
    Description,
    ImportReport,
    RepName,
    TranscriptsRejectedError,
    import_transcripts,
)
from tailrace_services.call_coach.model import CALL_TYPES
from tailrace_services.call_coach.survey import survey
from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    Refusal,
    import_with_progress,
    progress_bars,
    refusing,
    show,
)
from tailrace_services.data.commands import data_commands

__all__ = ["app"]

CallType = StrEnum("CallType", list(CALL_TYPES))  # type: ignore[misc]
"""The kinds of call there are."""
OTHER = CallType("other")

app = data_commands(DATA)


@app.command("import")
def import_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="WebVTT or .nlp, plain, gzip, or in tar archives.")
    ],
    product: Annotated[str | None, typer.Option(help="What the calls are about.")] = None,
    call_type: Annotated[CallType, typer.Option("--type", help="What kind of calls they are.")] = OTHER,
    rep: Annotated[
        list[str] | None,
        typer.Option(
            help="A speaker who is a sales representative: 'Ann' or 'Ann <ann@example.com>'. Repeat for several; "
            "by default whoever talks most in a call."
        ),
    ] = None,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Import transcripts: all of them, or nothing if any is broken. Those that are there already are left alone."""
    about = Description(product, call_type.value, _reps(rep or []))
    with refusing(output, _refused):
        report = import_with_progress(
            DATA.service,
            database,
            baseline,
            lambda url, twin, progress: import_transcripts(url, files, about, baseline_url=twin, progress=progress),
        )
    show(output, dataclasses.asdict(report), [_reported(report)])


@app.command("metrics")
def metrics_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Transcripts, as for import.")],
    rep: Annotated[list[str] | None, typer.Option(help="As for import.")] = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Show how the metrics and scores of transcripts are spread, without a database."""
    about = Description(reps=_reps(rep or []))
    with refusing(output, _refused), progress_bars("metrics") as progress:
        found = asyncio.run(survey(files, about, progress))
    show(output, dataclasses.asdict(found), found.lines())


def _refused(error: RequestError) -> Refusal:
    broken = error.broken if isinstance(error, TranscriptsRejectedError) else ()
    lines = [f"{each.file}: line {found.line}: {found.reason}" for each in broken for found in each.problems]
    return {"broken": [dataclasses.asdict(each) for each in broken]}, lines


def _reps(given: list[str]) -> dict[str, RepName]:
    try:
        named = [RepName.parse(text) for text in given]
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rep") from None
    return {each.name.lower(): each for each in named}


def _reported(report: ImportReport) -> str:
    known = f"; {report.known} were there already" if report.known else ""
    twin = "; in the baseline's database too" if report.baseline else ""
    return (
        f"{report.calls} calls imported: {report.turns:,} turns of {report.speakers:,} speakers in "
        f"{report.seconds / 3600:.1f} hours{known}{twin}"
    )
