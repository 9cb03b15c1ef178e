"""``tailrace-services research-hub``: data, imports, embeddings, reconciliation. Touches: terminal, files, databases.

Exit codes: 0 done; 1 could not be done, nothing changed; 2 wrong usage, or a refused file; 3 tokens do not add up.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tailrace_services.data.command_line import (
    BaselineUrl,
    DatabaseUrl,
    Format,
    OutputFormat,
    database_label,
    databases,
    import_with_progress,
    refused_rows,
    refusing,
    rejection_lines,
    show,
)
from tailrace_services.data.commands import data_commands
from tailrace_services.research_hub.data import DATA
from tailrace_services.research_hub.embedding import add_embed
from tailrace_services.research_hub.importer import ImportReport, import_posts
from tailrace_services.research_hub.tokens.reconciliation import Reconciliation, reconcile

__all__ = ["app"]

DISAGREES = 3

app = data_commands(DATA)
add_embed(app)


@app.command("reconcile")
def reconcile_command(
    database: DatabaseUrl = None, baseline: BaselineUrl = None, output: OutputFormat = Format.TEXT
) -> None:
    """Say whether the tokens add up: the ledger in itself, and the balances that are kept of it."""

    async def run() -> dict[str, Reconciliation]:
        urls = await databases(DATA.service, database, baseline)
        return {database_label(url): await reconcile(url) for url in urls}

    found = asyncio.run(run())
    rows = [{"database": name, "agrees": each.agrees, **dataclasses.asdict(each)} for name, each in found.items()]
    show(output, rows, [f"{name}: {line}" for name, each in found.items() for line in each.lines()])
    if not all(each.agrees for each in found.values()):
        raise typer.Exit(DISAGREES)


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exports of subreddits: CSV, plain or gzip.")],
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if any row is bad.")] = False,
    database: DatabaseUrl = None,
    baseline: BaselineUrl = None,
    output: OutputFormat = Format.TEXT,
) -> None:
    """Import posts: whole, but for rows that are reported, or not at all. Those that are there already stay."""
    with refusing(output, refused_rows):
        report = import_with_progress(
            DATA.service,
            database,
            baseline,
            lambda url, twin, progress: import_posts(url, files, baseline_url=twin, strict=strict, progress=progress),
        )
    show(output, dataclasses.asdict(report), _reported(report))


def _reported(report: ImportReport) -> list[str]:
    twin = "; in the baseline's database too" if report.baseline else ""
    return [
        *rejection_lines(report.rejections, report.rejected),
        f"{report.files} files: {report.rows:,} rows = {report.imported:,} imported + {report.known:,} known + "
        f"{report.rejected:,} rejected; {report.authors:,} new authors{twin}",
    ]
