"""``tailrace-services trading-desk``: its data and imports. Touches: terminal, files, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a file that is refused.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    import_with_progress,
    refused_rows,
    refusing,
    rejection_lines,
    show,
)
from tailrace_services.data.commands import data_commands
from tailrace_services.trading_desk.data import DATA
from tailrace_services.trading_desk.importer import ImportReport, TickReport, import_items, import_ticks

__all__ = ["app"]

app = data_commands(DATA)


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Issues of a tracker: CSV, plain or gzip.")],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is bad.")] = False,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Import issues as items: whole, but for rows that are reported, or not at all."""
    with refusing(output, refused_rows):
        report = import_with_progress(
            DATA.service,
            database,
            baseline,
            lambda url, twin, progress: import_items(url, file, baseline_url=twin, strict=strict, progress=progress),
        )
    show(output, dataclasses.asdict(report), _reported(report))


@app.command("import-ticks")
def import_ticks_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Ticks: a day's zip, or a tar of such.")],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any line is bad.")] = False,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Import a broker's ticks as signals: whole, but for lines that are reported, or not at all."""
    with refusing(output, refused_rows):
        report = import_with_progress(
            DATA.service,
            database,
            baseline,
            lambda url, twin, progress: import_ticks(url, files, baseline_url=twin, strict=strict, progress=progress),
        )
    show(output, dataclasses.asdict(report), _ticks_reported(report))


def _ticks_reported(report: TickReport) -> list[str]:
    twin = "; in the baseline's database too" if report.baseline else ""
    moved = f", moved forward by {report.weeks} weeks" if report.weeks else ""
    days = f"{report.days} days from {report.first:%Y-%m-%d} to {report.last:%Y-%m-%d}{moved}"
    files, rows = ", ".join(report.files), f"{report.imported:,} imported + {report.rejected:,} rejected"
    return [
        *rejection_lines(report.rejections, report.rejected),
        f"{files}: {report.rows:,} rows = {rows}",
        f"{days}{twin}",
    ]


def _reported(report: ImportReport) -> list[str]:
    twin = "; in the baseline's database too" if report.baseline else ""
    lines = [
        *rejection_lines(report.rejections, report.rejected),
        f"{report.file}: {report.rows:,} rows = {report.imported:,} imported + {report.known:,} known + "
        f"{report.rejected:,} rejected; {report.traders:,} new traders{twin}",
    ]
    if report.api_key:
        lines.append(f"API key of {report.trader}, shown this once: {report.api_key}")
    return lines
