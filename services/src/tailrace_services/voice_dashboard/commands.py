"""``tailrace-services voice-dashboard``: migrate, generate, import, status. Touches: terminal, files, databases.

Without ``--database-url`` the service's database on the server that ``TAILRACE_DATABASE_URL`` names is meant, and its
baseline's beside it if there is one, so that both keep the same rows.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a file that is refused.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tailrace.errors import RequestError
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
from tailrace_services.voice_dashboard.generator import SCALES, GeneratedDataset, generate
from tailrace_services.voice_dashboard.importer import ImportReport, Rejection, RowsRejectedError, import_campaign
from tailrace_services.voice_dashboard.migrations import migrate
from tailrace_services.voice_dashboard.status import DatabaseStatus, database_status

__all__ = ["app"]

SERVICE = "voice_dashboard"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def options() -> None:
    """Data of the Voice Dashboard: migrate, generate, import."""


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
    scale: Annotated[ScaleName, typer.Option(help="100 thousand, 1 million or 10 million calls.")] = ScaleName.SMALL,
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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="bank-full.csv, plain or gzip.")],
    user: Annotated[
        str | None, typer.Option(metavar="EMAIL", help="Whose calls they become; new if not known.")
    ] = None,
    ending: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="UTC day of the last call, or 'yesterday'; by default as published."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is bad.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Import a file that was imported before.")] = False,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Import the telephone campaign of a bank: whole, but for rows that are reported, or not at all."""
    last_day = _day(ending)

    async def run() -> ImportReport:
        url, *twin = await databases(SERVICE, database, baseline)
        with progress_bars("import") as progress:
            return await import_campaign(
                url,
                file,
                baseline_url=twin[0] if twin else None,
                email=user,
                ending=last_day,
                strict=strict,
                again=again,
                progress=progress,
            )

    try:
        report = asyncio.run(run())
    except RequestError as error:
        rejections = error.rejections if isinstance(error, RowsRejectedError) else ()
        refusal = {"error": {"code": error.code, "message": str(error)}, "rejections": _rows(rejections)}
        if output is Format.JSON:
            print(json.dumps(refusal, indent=2))
        else:
            print(*(_line(rejection) for rejection in rejections), sep="\n", end="\n" if rejections else "")
        print(f"tailrace-services: {error}", file=sys.stderr)
        raise typer.Exit(REFUSED) from None
    show(output, dataclasses.asdict(report), _reported(report))


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


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    if text == "yesterday":
        return datetime.now(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a date like 2026-01-31, or 'yesterday'", param_hint="--ending") from None


def _described(loaded: GeneratedDataset) -> str:
    verb = "loaded" if loaded.created else "already loaded"
    return (
        f"{loaded.scale}: {verb}, {loaded.users:,} users, {loaded.agents:,} agents, {loaded.calls:,} calls, "
        f"{loaded.leads:,} leads; seed {loaded.seed}, ending {loaded.anchor:%Y-%m-%d %H:%M} UTC"
    )


def _reported(report: ImportReport) -> list[str]:
    lines = [_line(rejection) for rejection in report.rejections]
    if report.rejected > len(lines):
        lines.append(f"... and {report.rejected - len(lines):,} more rejected rows")
    lines += [
        f"{report.file}: {report.rows:,} rows = {report.imported:,} imported + {report.rejected:,} rejected; "
        f"{report.leads:,} leads, {report.agents} agents",
        f"calls from {report.first_call:%Y-%m-%d} to {report.last_call:%Y-%m-%d}, "
        f"of user {report.user_id} ({report.email})" + ("; in the baseline's database too" if report.baseline else ""),
    ]
    if report.api_key:
        lines.append(f"API key, shown this once: {report.api_key}")
    return lines


def _line(rejection: Rejection) -> str:
    return f"line {rejection.line}: {rejection.reason}"


def _rows(rejections: tuple[Rejection, ...]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(rejection) for rejection in rejections]
