"""Put a campaign into the database, and the same rows into the baseline's. Touches: both, a transaction each.

Rows are staged in a temporary table while the file is read, and only a file read to its end is turned into calls, by
one INSERT each for calls and leads, so that triggers fire twice and not 90,000 times. Numbers come from the tables' own
sequences, so imports and the API's writes do not collide; the baseline gets the staged rows with these numbers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg

from tailrace.errors import DatabaseError, RequestError
from tailrace_services.data.importing import RowsRejectedError, continue_numbers, import_transactions, mirroring
from tailrace_services.data.loading import Connection, Progress
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.voice_dashboard.importer import statements as sql
from tailrace_services.voice_dashboard.importer.campaign import CampaignCall, Rejection
from tailrace_services.voice_dashboard.importer.reader import CampaignReader
from tailrace_services.voice_dashboard.importer.source import MAX_BYTES, CampaignFile
from tailrace_services.voice_dashboard.keys import new_api_key

__all__ = ["AlreadyImportedError", "ImportReport", "import_campaign"]

_OPENING_BALANCE = Decimal("10000.00")
_BATCH = 5000


class AlreadyImportedError(RequestError):
    """The same bytes were imported before; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=409, code="campaign_already_imported")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``rows`` = ``imported`` + ``rejected``; ``api_key`` is None for a user who had one."""

    file: str
    digest: str
    user_id: int
    email: str
    api_key: str | None
    agents: int
    rows: int
    imported: int
    rejected: int
    leads: int
    first_call: datetime
    last_call: datetime
    baseline: bool
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class _Owner:
    id: int
    email: str
    api_key: str | None
    api_key_hash: str
    created_at: datetime


async def import_campaign(
    url: str,
    path: Path,
    *,
    baseline_url: str | None = None,
    email: str | None = None,
    ending: date | None = None,
    strict: bool = False,
    again: bool = False,
    max_bytes: int = MAX_BYTES,
    progress: Progress = lambda phase, done, total: None,
) -> ImportReport:
    """Import the campaign at ``path``, whole or not at all.

    Args:
        url: the database; migrated.
        baseline_url: a second database that gets the same rows with the same ids.
        email: whose calls they become; an existing user gets them added. None: a new user.
        ending: the UTC day on which the last call is to fall; all move by the same whole days. None: as published.
        strict: refuse the file if any row is rejected.
        again: import a file that was imported before.
        max_bytes: most bytes the file may unpack to.
        progress: called with a phase, how much is done and how much there is.

    Raises:
        CampaignFileError: the file is not a campaign.
        RowsRejectedError: ``strict``, and there are bad rows.
        AlreadyImportedError: it was imported before, and not ``again``.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused; neither has changed.
    """
    async with import_transactions("voice_dashboard", url, baseline_url) as databases:
        main, twin = databases[0], databases[1] if baseline_url else None
        reader = CampaignReader(CampaignFile(path, max_bytes=max_bytes))
        await _stage(main, reader, progress)
        _check_rows(reader, strict)
        if not again:
            await _check_new(main, reader, "the database")
            if twin:
                await _check_new(twin, reader, "the baseline's database")
        progress("calls", 0, reader.imported)
        owner = await _owner(main, reader.file.digest, email)
        agents = await _number(main, owner, ending)
        await _insert(main, owner, reader)
        if twin:
            progress("baseline", 0, reader.imported)
            await _mirror(main, twin, owner, reader)
        progress("calls", reader.imported, reader.imported)
        (summary,) = await main.fetch(sql.SUMMARY)
        return _report(reader, owner, agents, summary, baseline=twin is not None)


def _report(
    reader: CampaignReader, owner: _Owner, agents: int, summary: asyncpg.Record, *, baseline: bool
) -> ImportReport:
    return ImportReport(
        file=reader.file.path.name,
        digest=reader.file.digest,
        user_id=owner.id,
        email=owner.email,
        api_key=owner.api_key,
        agents=agents,
        rows=reader.rows,
        imported=reader.imported,
        rejected=reader.rejected,
        leads=summary["leads"],
        first_call=summary["first"],
        last_call=summary["last"],
        baseline=baseline,
        rejections=tuple(reader.rejections),
    )


async def _stage(connection: Connection, reader: CampaignReader, progress: Progress) -> None:
    await connection.execute(sql.CREATE_STAGED)
    batches = reader.batches()
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        await connection.copy_records_to_table("staged_calls", records=[_record(*entry) for entry in batch])
        progress("reading", reader.file.position, reader.file.size)


def _record(line: int, call: CampaignCall) -> tuple[object, ...]:
    return (
        line,
        call.segment,
        call.status,
        Decimal(call.thousandths).scaleb(-3),
        Decimal(call.cents).scaleb(-2),
        call.created_at,
        call.score,
    )


def _check_rows(reader: CampaignReader, strict: bool) -> None:
    if strict and reader.rejected:
        raise RowsRejectedError(
            f"{reader.file.path}: {reader.rejected} of {reader.rows} rows are not calls; nothing was imported",
            "campaign_rows_rejected",
            tuple(reader.rejections),
        )


async def _check_new(connection: Connection, reader: CampaignReader, name: str) -> None:
    before = await connection.fetchrow(sql.FIND_IMPORT, reader.file.digest)
    if before:
        raise AlreadyImportedError(
            f"{reader.file.path}: was imported into {name} on {before['created_at']:%Y-%m-%d %H:%M} UTC "
            f"as user {before['user_id']}; pass --again to import it once more"
        )


async def _owner(connection: Connection, digest: str, email: str | None) -> _Owner:
    """The user the calls go to: the one named, or a new one with a key of its own."""
    if email:
        row = await connection.fetchrow(sql.FIND_USER, email)
        if row:
            return _Owner(row["id"], email, None, row["api_key_hash"], row["created_at"])
    user_id = await connection.fetchval(sql.NEXT_USER)
    key = new_api_key(user_id)
    email = email or f"campaign-{digest[:8]}-{user_id}@import.example"
    created_at = await connection.fetchval(sql.INSERT_USER, user_id, email, hash_api_key(key), _OPENING_BALANCE)
    return _Owner(user_id, email, key, hash_api_key(key), created_at)


async def _number(connection: Connection, owner: _Owner, ending: date | None) -> int:
    """Give the staged rows their agents, ids and final moments; return how many agents there are."""
    await connection.execute(sql.ADD_AGENTS, owner.id)
    await connection.execute(sql.CREATE_NUMBERED)
    await connection.execute(sql.FILL_NUMBERED, owner.id, ending)
    return int(await connection.fetchval(sql.COUNT_AGENTS))


async def _insert(connection: Connection, owner: _Owner, reader: CampaignReader) -> None:
    await connection.execute(sql.INSERT_CALLS, owner.id)
    await connection.execute(sql.INSERT_LEADS)
    await connection.execute(
        sql.INSERT_IMPORT, owner.id, reader.file.digest, reader.file.path.name, reader.imported, reader.rejected
    )
    await connection.execute(sql.ANALYZE)


async def _mirror(main: Connection, twin: Connection, owner: _Owner, reader: CampaignReader) -> None:
    """Write the same users, agents, calls and leads, with the same ids, into the baseline's database.

    Raises:
        DatabaseError: it has other rows under these ids.
    """
    with mirroring():
        if owner.api_key:
            await twin.execute(
                sql.MIRROR_USER, owner.id, owner.email, owner.api_key_hash, _OPENING_BALANCE, owner.created_at
            )
        elif owner.id != await twin.fetchval(sql.FIND_USER, owner.email):
            raise DatabaseError(f"the baseline's database does not have {owner.email} as user {owner.id}")
        await twin.executemany(sql.MIRROR_AGENT, [tuple(row) for row in await main.fetch(sql.AGENTS)])
        await twin.execute(sql.CREATE_NUMBERED)
        batch: list[tuple[object, ...]] = []
        async for row in main.cursor(sql.NUMBERED, prefetch=_BATCH):
            batch.append(tuple(row))
            if len(batch) == _BATCH:
                await twin.copy_records_to_table("numbered_calls", records=batch)
                batch = []
        await twin.copy_records_to_table("numbered_calls", records=batch)
        await _insert(twin, owner, reader)
    await continue_numbers(twin, ("users", "agents", "calls", "lead_analytics"))
