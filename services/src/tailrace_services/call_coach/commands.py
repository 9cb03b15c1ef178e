"""``tailrace-services call-coach``: migrate, generate, import, metrics, status. Touches: terminal, files, databases.

Without ``--database-url`` the service's database on the server that ``TAILRACE_DATABASE_URL`` names is meant, and its
baseline's beside it if there is one, so that both keep the same rows.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a file that is refused.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tailrace.errors import RequestError
from tailrace_services.call_coach.generator import SCALES, GeneratedDataset, generate
from tailrace_services.call_coach.importer import (
    Description,
    ImportReport,
    RepName,
    TranscriptsRejectedError,
    import_transcripts,
)
from tailrace_services.call_coach.migrations import migrate
from tailrace_services.call_coach.model import CALL_TYPES
from tailrace_services.call_coach.status import DatabaseStatus, database_status
from tailrace_services.call_coach.survey import survey
from tailrace_services.data.command_line import (
    REFUSED,
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    ScaleName,
    database_label,
    databases,
    progress_bars,
    show,
)
from tailrace_services.settings import load_services_settings

__all__ = ["app"]

SERVICE = "call_coach"

CallType = StrEnum("CallType", list(CALL_TYPES))  # type: ignore[misc]
"""The kinds of call there are."""
OTHER = CallType("other")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def options() -> None:
    """Data of the Call Coach: migrate, generate, import, measure."""


@app.command("migrate")
def migrate_command(
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Bring the tables to the newest revision; does nothing when they are there."""

    async def run() -> list[dict[str, str]]:
        urls = await databases(SERVICE, database, baseline)
        return [{"database": database_label(url), "revision": await migrate(url)} for url in urls]

    rows = asyncio.run(run())
    show(output, rows, [f"{row['database']}: at revision {row['revision']}" for row in rows])


@app.command("generate")
def generate_command(
    scale: Annotated[
        ScaleName, typer.Option(help="1 thousand, 100 thousand or 1 million calls of 20 turns on average.")
    ] = ScaleName.SMALL,
    seed: Annotated[
        int | None, typer.Option(min=0, help="What the rows are made from; TAILRACE_SERVICES_SEED.")
    ] = None,
    anchor: Annotated[
        datetime | None, typer.Option(help="UTC moment the year of calls ends at; by default the current hour.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Remove the rows that are there, imported ones too.")
    ] = False,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Fill the migrated database; the same seed, scale and anchor give the same rows."""
    chosen_seed = load_services_settings().seed if seed is None else seed

    async def run() -> list[GeneratedDataset]:
        loaded: list[GeneratedDataset] = []
        for url in await databases(SERVICE, database, baseline):
            await migrate(url)
            # The second database gets the anchor of the first, so that both have the same rows.
            end = loaded[0].anchor if loaded else anchor and anchor.replace(tzinfo=anchor.tzinfo or UTC)
            with progress_bars(database_label(url)) as progress:
                loaded.append(await generate(url, SCALES[scale], chosen_seed, end, progress, replace=replace))
        return loaded

    rows = asyncio.run(run())
    show(output, [dataclasses.asdict(row) for row in rows], [_described(row) for row in rows])


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

    async def run() -> ImportReport:
        url, *twin = await databases(SERVICE, database, baseline)
        with progress_bars("import") as progress:
            return await import_transcripts(
                url, files, about, baseline_url=twin[0] if twin else None, progress=progress
            )

    with _refusing(output):
        report = asyncio.run(run())
    show(output, dataclasses.asdict(report), [_reported(report)])


@app.command("metrics")
def metrics_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Transcripts, as for import.")],
    rep: Annotated[list[str] | None, typer.Option(help="As for import.")] = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Show how the metrics and scores of transcripts are spread, without a database."""
    about = Description(reps=_reps(rep or []))
    with _refusing(output), progress_bars("metrics") as progress:
        found = asyncio.run(survey(files, about, progress))
    show(output, dataclasses.asdict(found), found.lines())


@app.command("status")
def status_command(
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Say what is loaded."""

    async def run() -> list[DatabaseStatus]:
        return [await database_status(url) for url in await databases(SERVICE, database, baseline)]

    found = asyncio.run(run())
    lines = [line for status in found for line in status.lines()]
    show(output, [dataclasses.asdict(status) for status in found], lines)


def _described(loaded: GeneratedDataset) -> str:
    verb = "loaded" if loaded.created else "already loaded"
    return (
        f"{loaded.scale}: {verb}, {loaded.calls:,} calls, {loaded.turns:,} turns, {loaded.reps:,} reps, "
        f"{loaded.opportunities:,} opportunities, {loaded.emails:,} emails, {loaded.sessions:,} coaching sessions; "
        f"seed {loaded.seed}, ending {loaded.anchor:%Y-%m-%d %H:%M} UTC"
    )


@contextmanager
def _refusing(output: Format) -> Iterator[None]:
    """Tell why files were refused, and exit with code 2."""
    try:
        yield
    except RequestError as error:
        broken = error.broken if isinstance(error, TranscriptsRejectedError) else ()
        if output is Format.JSON:
            refusal = {"error": {"code": error.code, "message": str(error)}}
            print(json.dumps({**refusal, "broken": [dataclasses.asdict(each) for each in broken]}, indent=2))
        else:
            for each in broken:
                print(*(f"{each.file}: line {found.line}: {found.reason}" for found in each.problems), sep="\n")
        print(f"tailrace-services: {error}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None


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
