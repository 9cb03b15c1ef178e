"""``tailrace docs``: documents that questions are answered from. Touches: the terminal, files, the database.

With ``--format json`` one JSON document goes to stdout and nothing else does.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.output import LEFT_TO_DO, Format, FormatOption, UrlOption, database_address, failure
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from tailrace.semantic.documents import LoadProgress, LoadReport

__all__ = ["docs"]

docs = typer.Typer(help="Documents that questions are answered from.", no_args_is_help=True)


@docs.callback()
def root() -> None:
    """Documents that questions are answered from."""


@docs.command()
def load(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="HTML, Markdown and plain text, below it too.")],
    corpus: Annotated[str, typer.Option(help="Which documents they are; others' stay as they are.")] = "documents",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and compare, and change nothing.")] = False,
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
) -> None:
    """Make a corpus hold just the documents of a folder; what is unchanged is not touched.

    It can be stopped anywhere and run again. Exit code 3: some documents could not be read; they are named.
    """
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is not a folder", param_hint="FOLDER")
    try:
        progress = _progress(output, corpus)
        report = asyncio.run(_load(database_address(database_url), folder, corpus, dry_run, progress))
    except (TailraceError, OSError) as error:
        raise failure(error) from error
    except KeyboardInterrupt:
        typer.echo("tailrace: interrupted; run it again to go on", err=True)
        raise typer.Exit(130) from None
    _show(report, output)
    if report.refused:
        raise typer.Exit(LEFT_TO_DO)


async def _load(url: str, folder: Path, corpus: str, dry_run: bool, progress: LoadProgress) -> LoadReport:
    from tailrace.db import Database
    from tailrace.semantic import Embedder
    from tailrace.semantic.documents import load_documents, prepare_documents, sources_in

    database, embedder = Database(url), Embedder()
    try:
        if not dry_run:
            await prepare_documents(database)
        sources = await asyncio.to_thread(sources_in, folder)
        return await load_documents(database, corpus, sources, embedder, dry_run=dry_run, progress=progress)
    finally:
        await embedder.aclose()
        await database.aclose()


def _show(report: LoadReport, output: Format) -> None:
    if output is Format.json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
        return
    for each in report.refused:
        typer.echo(f"not read: {each.path}: {each.reason}", err=True)
    would = " (dry run: nothing was changed)" if report.dry_run else ""
    typer.echo(
        f"{report.corpus}: {report.added:,} new, {report.changed:,} changed, {report.unchanged:,} unchanged, "
        f"{report.removed:,} removed, {len(report.refused):,} not read; {report.chunks:,} chunks, "
        f"{report.embedded:,} vectors made{would}"
    )


def _progress(output: Format, corpus: str) -> LoadProgress:
    """Bars that say how long it will take; nothing where nobody looks."""
    if output is Format.json or not sys.stderr.isatty():
        return lambda phase, done, total: None
    from tailrace.cli.progress import Bars
    from tailrace.schema import Progress

    bars = Bars()
    return lambda phase, done, total: bars.report(Progress("documents", corpus, phase, done, total, ""))
