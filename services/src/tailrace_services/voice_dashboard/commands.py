"""``tailrace-services voice-dashboard``: migrate, generate, status, import. Touches: terminal, files, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a file that is refused.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from tailrace.errors import RequestError
from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    Refusal,
    import_with_progress,
    refusing,
    show,
)
from tailrace_services.data.commands import data_commands
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.importer import ImportReport, Rejection, RowsRejectedError, import_campaign

__all__ = ["app"]

app = data_commands(DATA)


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
    with refusing(output, _refused):
        report = import_with_progress(
            DATA.service,
            database,
            baseline,
            lambda url, twin, progress: import_campaign(
                url,
                file,
                baseline_url=twin,
                email=user,
                ending=last_day,
                strict=strict,
                again=again,
                progress=progress,
            ),
        )
    show(output, dataclasses.asdict(report), _reported(report))


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    if text == "yesterday":
        return datetime.now(UTC).date() - timedelta(days=1)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a date like 2026-01-31, or 'yesterday'", param_hint="--ending") from None


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


def _refused(error: RequestError) -> Refusal:
    rejections = error.rejections if isinstance(error, RowsRejectedError) else ()
    return {"rejections": [dataclasses.asdict(each) for each in rejections]}, [_line(each) for each in rejections]


def _line(rejection: Rejection) -> str:
    return f"line {rejection.line}: {rejection.reason}"
