"""``tailrace db``: how the service's database is doing. Touches: the terminal and the database, which it only reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.cli.output import LEFT_TO_DO, Format, FormatOption, UrlOption, database_address, failure
from tailrace.errors import TailraceError

if TYPE_CHECKING:
    from tailrace.db.report import DatabaseReport

__all__ = ["db"]

db = typer.Typer(help="The service's database.", no_args_is_help=True)


@db.callback()
def root() -> None:
    """The service's database."""


@db.command()
def report(
    database_url: UrlOption = None,
    output: FormatOption = Format.text,
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many tables, indexes and statements to list.")] = 15,
    plans: Annotated[bool, typer.Option(help="Show the plans of the slowest statements.")] = True,
) -> None:
    """Sizes, dead rows, index use, connections, slow statements; what to do. Exit code 3: something is to be done."""
    try:
        found = asyncio.run(_read(database_address(database_url), top, plans))
    except TailraceError as error:
        raise failure(error) from error
    if output is Format.json:
        typer.echo(json.dumps(asdict(found), default=str, indent=2))
    else:
        for line in _lines(found, top):
            typer.echo(line)
    if any(advice.level == "act" for advice in found.advice):
        raise typer.Exit(LEFT_TO_DO)


async def _read(url: str, top: int, plans: bool) -> DatabaseReport:
    from tailrace.db import Database
    from tailrace.db.report import database_report

    database = Database(url)
    try:
        return await database_report(database, statements=top, plans=plans)
    finally:
        await database.aclose()


def _lines(report: DatabaseReport, top: int) -> Iterator[str]:
    used = sum(connection.count for connection in report.connections)
    yield (
        f"{report.database} on PostgreSQL {report.version}: {_size(report.bytes)}, {_share(report.hit_share)} of reads "
        f"from buffers, {used} of {report.max_connections} connections"
    )
    yield from _table(
        ("table", "rows", "dead", "size", "indexes", "seq scans", "index scans", "from buffers"),
        [
            (
                t.name,
                f"{t.rows:,}",
                f"{t.dead_rows:,}",
                _size(t.total_bytes),
                _size(t.index_bytes),
                f"{t.sequential_scans:,}",
                f"{t.index_scans:,}",
                _share(t.hit_share),
            )
            for t in report.tables[:top]
        ],
    )
    yield from _table(
        ("index", "table", "size", "scans"),
        [(i.name, i.table, _size(i.bytes), f"{i.scans:,}") for i in report.indexes[:top]],
    )
    yield from _table(
        ("connections of", "state", "number", "longest"),
        [
            (c.application, c.state, str(c.count), "-" if c.longest is None else f"{c.longest:,.1f} s")
            for c in report.connections[:top]
        ],
    )
    for place, statement in enumerate((report.statements or [])[:top], 1):
        times = f"{statement.total_time:,.0f} ms in {statement.calls:,} calls ({statement.mean_time:,.3f} ms each)"
        yield f"\n{place}. {times}"
        yield "   " + " ".join(statement.statement.split())[:500]
        yield from ("      " + line for line in (statement.plan or "").splitlines())
    yield "\nto do" if report.advice else "\nnothing to do"
    for advice in report.advice:
        yield f"  {'ACT ' if advice.level == 'act' else 'note'} {advice.about}: {advice.message}"
        if advice.sql is not None:
            yield f"       {advice.sql};"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    yield ""
    for row in (head, *rows):
        first = row[0].ljust(widths[0])
        yield "  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TB"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
