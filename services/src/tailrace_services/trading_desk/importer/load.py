"""Put issues into the database as items, and the same rows into the baseline's. Touches: both, a transaction each.

Rows are staged in a temporary table while the file is read; only a file read to its end is numbered, in the order of
time, and becomes items and their log by one INSERT each, so that triggers fire once. Numbers come from the tables' own
sequences; the baseline gets the numbered rows.

Who reported an issue becomes a trader. The log has one entry for each item: that this trader created it, at the moment
that the tracker names, as the export has it. An export does not say who changed what between then and its last change,
so the log says nothing of that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import asyncpg

from tailrace.errors import RequestError
from tailrace_services.data.csv_file import CsvFile, Rejection
from tailrace_services.data.importing import RowsRejectedError, continue_numbers, import_transactions, mirroring
from tailrace_services.data.loading import Connection, Progress
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.trading_desk.api.audit import noted, stored
from tailrace_services.trading_desk.importer import statements as sql
from tailrace_services.trading_desk.importer.issue import Issue
from tailrace_services.trading_desk.importer.reader import MAX_BYTES, issue_file
from tailrace_services.trading_desk.keys import new_api_key

__all__ = ["AlreadyImportedError", "ImportReport", "import_items"]

_TOLERANCE = timedelta(days=1)
"""By how much a moment may be later than the database's clock."""
_BATCH = 1000
_TABLES = ("traders", "items", "audit_log")


class AlreadyImportedError(RequestError):
    """The same bytes were imported before; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=409, code="issues_already_imported")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``rows`` = ``imported`` + ``known`` + ``rejected``; ``traders`` counts new ones.

    ``api_key`` is that of ``trader``, who reported the most of the new traders; both are None if there is none.
    """

    file: str
    digest: str
    rows: int
    imported: int
    known: int
    rejected: int
    traders: int
    trader: str | None
    api_key: str | None
    baseline: bool
    rejections: tuple[Rejection, ...]


async def import_items(
    url: str,
    path: Path,
    *,
    baseline_url: str | None = None,
    strict: bool = False,
    max_bytes: int = MAX_BYTES,
    progress: Progress = lambda phase, done, total: None,
) -> ImportReport:
    """Import the issues at ``path``, but for rows that are none; or nothing.

    An issue whose key an item has already, out of another file, is left as it is.

    Args:
        url: the database; migrated.
        baseline_url: a second database that gets the same rows with the same ids.
        strict: refuse the file if any row is rejected.
        max_bytes: most bytes the file may unpack to.
        progress: called with a phase, how much is done and how much there is.

    Raises:
        IssueFileError: the file is no export of issues.
        RowsRejectedError: ``strict``, and there are bad rows.
        AlreadyImportedError: it was imported before.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused, or the two do not have the same rows; neither has changed.

    Cost: beside what is written, a scan of the items, whose metadata have the keys.
    """
    async with import_transactions("trading_desk", url, baseline_url) as databases:
        main, *twins = databases
        reader = issue_file(path, await main.fetchval("SELECT now()") + _TOLERANCE, max_bytes)
        await _stage(main, reader, progress)
        _check_rows(reader, strict)
        for each in databases:
            await _check_new(each, reader)
        known = await main.fetchval(sql.DROP_KNOWN)
        traders = await _add_traders(main)
        await main.execute(sql.CREATE_NUMBERED)
        await main.execute(sql.FILL_NUMBERED)
        for done, each in enumerate(databases):
            progress("databases", done, len(databases))
            with mirroring():
                if each in twins:
                    await _copy_numbered(main, each, traders)
                await _insert(each, reader, reader.good - known)
        for twin in twins:
            await continue_numbers(twin, _TABLES)
        progress("databases", len(databases), len(databases))
        return _report(reader, known, traders, baseline=bool(twins))


@dataclass(frozen=True, slots=True)
class _Traders:
    """New ones: their rows, and the key of the first."""

    rows: Sequence[tuple[object, ...]]
    first: str | None = None
    api_key: str | None = None


async def _stage(connection: Connection, reader: CsvFile[Issue], progress: Progress) -> None:
    await connection.execute(sql.CREATE_STAGED)
    batches = reader.batches()
    position = 0
    while (rows := await asyncio.to_thread(_next_rows, batches, position)) is not None:
        await connection.copy_records_to_table("staged_items", records=rows, columns=sql.STAGED)
        position += len(rows)
        progress("reading", reader.file.position, reader.file.size)


def _next_rows(batches: Iterator[list[Issue]], position: int) -> list[tuple[object, ...]] | None:
    batch = next(batches, None)
    return None if batch is None else [_row(position + offset, issue) for offset, issue in enumerate(batch)]


def _row(position: int, issue: Issue) -> tuple[object, ...]:
    """In the order of ``statements.STAGED``."""
    fields = noted(issue.item)
    columns = {**stored(fields), "metadata": json.dumps(fields["metadata"])}
    changes = json.dumps({name: (None, value) for name, value in fields.items()})
    email = f"{quote(issue.reporter, safe='')}@tracker.example"
    who = (position, issue.key, issue.reporter, email)
    return (*who, *(columns[name] for name in fields), changes, issue.created_at, issue.updated_at)


def _check_rows(reader: CsvFile[Issue], strict: bool) -> None:
    if strict and reader.rejected:
        raise RowsRejectedError(
            f"{reader.path}: {reader.rejected} of {reader.good + reader.rejected} rows are not issues; "
            "nothing was imported",
            "issue_rows_rejected",
            tuple(reader.rejections),
        )


async def _check_new(connection: Connection, reader: CsvFile[Issue]) -> None:
    before = await connection.fetchval(sql.FIND_IMPORT, reader.file.digest)
    if before:
        raise AlreadyImportedError(f"{reader.path}: was imported on {before:%Y-%m-%d %H:%M} UTC; nothing was changed")


async def _add_traders(connection: Connection) -> _Traders:
    """Those who reported a staged issue and are not known, who reported the most first; they get keys of their own."""
    found: list[asyncpg.Record] = await connection.fetch(sql.NEW_TRADERS)
    keys = [new_api_key(row["id"]) for row in found]
    rows = [
        (row["id"], row["name"], row["email"], hash_api_key(key), row["created_at"])
        for row, key in zip(found, keys, strict=True)
    ]
    await connection.copy_records_to_table("traders", records=rows, columns=sql.TRADER)
    return _Traders(rows, found[0]["name"], keys[0]) if found else _Traders(rows)


async def _copy_numbered(main: Connection, twin: Connection, traders: _Traders) -> None:
    """Give the baseline's database the same traders and numbered rows."""
    await twin.copy_records_to_table("traders", records=traders.rows, columns=sql.TRADER)
    await twin.execute(sql.CREATE_NUMBERED)
    batch: list[tuple[object, ...]] = []
    async for row in main.cursor(sql.NUMBERED, prefetch=_BATCH):
        batch.append(tuple(row))
        if len(batch) == _BATCH:
            await twin.copy_records_to_table("numbered_items", records=batch)
            batch = []
    await twin.copy_records_to_table("numbered_items", records=batch)


async def _insert(connection: Connection, reader: CsvFile[Issue], imported: int) -> None:
    await connection.execute(sql.INSERT_ITEMS)
    await connection.execute(sql.INSERT_ENTRIES)
    await connection.execute(sql.INSERT_IMPORT, reader.file.digest, reader.path.name, imported, reader.rejected)
    await connection.execute(f"ANALYZE {', '.join(_TABLES)}")


def _report(reader: CsvFile[Issue], known: int, traders: _Traders, *, baseline: bool) -> ImportReport:
    return ImportReport(
        file=reader.path.name,
        digest=reader.file.digest,
        rows=reader.good + reader.rejected,
        imported=reader.good - known,
        known=known,
        rejected=reader.rejected,
        traders=len(traders.rows),
        trader=traders.first,
        api_key=traders.api_key,
        baseline=baseline,
        rejections=tuple(reader.rejections),
    )
