"""Load generated rows by binary COPY. Touches: the database, in one transaction.

All or nothing: the tables are truncated, filled, constrained again and recorded in ``dataset`` in one transaction. A
load that is interrupted, by Ctrl-C or by the server's death, leaves what was there before; a row in ``dataset`` means a
whole load. Because the tables are truncated in the same transaction, rows are written frozen (``COPY ... FREEZE``): no
vacuum has to visit them again.

numpy builds the next chunk on a thread while the server takes in the last; memory does not grow with the scale but for
2 bytes a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tailrace.errors import DatabaseError
from tailrace_services.data.connection import open_connection
from tailrace_services.data.loading import Connection, Progress, add_constraints, drop_constraints, finish_tables
from tailrace_services.voice_dashboard.generator.binary_copy import HEADER, TRAILER, call_rows, lead_rows
from tailrace_services.voice_dashboard.generator.population import Population, populate
from tailrace_services.voice_dashboard.generator.scale import Scale
from tailrace_services.voice_dashboard.generator.traffic import DAYS, traffic
from tailrace_services.voice_dashboard.keys import DEFAULT_SEED
from tailrace_services.voice_dashboard.model import CALL_STATUSES

__all__ = ["DatasetConflictError", "GeneratedDataset", "Progress", "default_anchor", "generate", "loaded_dataset"]

_LOCK = 0x7461696C67656E72
_MESSAGE = 1 << 20
"""Bytes in one CopyData message."""
_MONTHLY_CREDITS = 22.0 * 30 / DAYS
"""What a call costs on average (22 credits), times the share of a year that a month is."""
_TABLES = ("provider_configurations", "campaign_imports", "dataset", "lead_analytics", "calls", "agents", "users")


class DatasetConflictError(DatabaseError):
    """The database holds other rows than those asked for; nothing was changed."""

    code = "dataset_conflict"


@dataclass(frozen=True, slots=True)
class GeneratedDataset:
    """What is loaded. ``created`` is False if it was there already."""

    scale: str
    seed: int
    anchor: datetime
    users: int
    agents: int
    calls: int
    leads: int
    created: bool = field(default=False, compare=False)


def default_anchor(now: datetime) -> datetime:
    """The start of ``now``'s UTC hour: the moment the generated year ends."""
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


async def loaded_dataset(url: str) -> GeneratedDataset | None:
    """What was generated into the database at ``url``, or None.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseError: the tables are not there.
    """
    async with open_connection(url) as connection:
        return await _recorded(connection)


async def generate(
    url: str,
    scale: Scale,
    seed: int = DEFAULT_SEED,
    anchor: datetime | None = None,
    progress: Progress = lambda phase, done, total: None,
    *,
    replace: bool = False,
) -> GeneratedDataset:
    """Fill the migrated database at ``url``, or find it filled with the same already.

    Args:
        scale: how much.
        seed: 0 or more; the same seed, scale and anchor give the same rows.
        anchor: an aware moment, the end of the 365 days of traffic. None: whatever is loaded, else the current hour.
        progress: called as it goes.
        replace: remove other rows first, imported ones too, instead of refusing.

    Raises:
        DatasetConflictError: there are other rows and ``replace`` is false.
        DatabaseUnavailableError: no connection, or it was lost; nothing has changed.
        DatabaseError: the database refused; nothing has changed.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    if anchor is not None and anchor.tzinfo is None:
        raise ValueError("anchor needs a time zone")
    async with open_connection(url) as connection, connection.transaction():
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        found = await _recorded(connection)
        wanted = (scale.name, seed, scale.calls, scale.users)
        if found and wanted == (found.scale, found.seed, found.calls, found.users) and anchor in (None, found.anchor):
            return found
        if not replace:
            await _refuse_other_rows(connection, found)
        people = populate(scale, seed)
        return await _load(connection, people, anchor or default_anchor(datetime.now(UTC)), progress)


async def _recorded(connection: Connection) -> GeneratedDataset | None:
    row = await connection.fetchrow("SELECT scale, seed, anchor, users, agents, calls, leads FROM dataset")
    return GeneratedDataset(**dict(row)) if row else None


async def _refuse_other_rows(connection: Connection, found: GeneratedDataset | None) -> None:
    if found:
        what = f"the data set {found.scale} with seed {found.seed}, ending {found.anchor:%Y-%m-%d %H:%M} UTC"
        raise DatasetConflictError(f"the database already holds {what}; pass --replace to remove it first")
    if await connection.fetchval("SELECT EXISTS (SELECT FROM users)"):
        raise DatasetConflictError("the database holds rows that were not generated; pass --replace to remove them")


async def _load(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> GeneratedDataset:
    progress("users and agents", 0, people.scale.users)
    # Tailrace's triggers and views may lean on the constraints; then they stay, and the load is slower.
    bare = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
    constraints = await drop_constraints(connection, ("calls", "lead_analytics")) if bare else []
    await connection.execute(f"TRUNCATE {', '.join(_TABLES)} RESTART IDENTITY")
    await _copy_people(connection, people, anchor - timedelta(days=DAYS))
    progress("users and agents", people.scale.users, people.scale.users)
    leads = await _copy_traffic(connection, people, anchor, progress)
    await add_constraints(connection, constraints, progress)
    await finish_tables(connection, ("users", "agents", "calls", "lead_analytics"), progress)
    loaded = GeneratedDataset(
        people.scale.name,
        people.seed,
        anchor,
        people.scale.users,
        people.agent_user.size,
        people.scale.calls,
        leads,
        True,
    )
    await connection.execute(
        "INSERT INTO dataset (scale, seed, anchor, users, agents, calls, leads) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        *(loaded.scale, loaded.seed, anchor, loaded.users, loaded.agents, loaded.calls, loaded.leads),
    )
    return loaded


async def _copy_people(connection: Connection, people: Population, start: datetime) -> None:
    users = ("id", "email", "api_key_hash", "credits", "is_active", "created_at")
    agents = ("id", "user_id", "external_id", "name", "type", "status", "description", "is_active", "created_at")
    await connection.copy_records_to_table("users", records=people.user_rows(start, _MONTHLY_CREDITS), columns=users)
    await connection.copy_records_to_table("agents", records=people.agent_rows(start), columns=agents)


async def _copy_traffic(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> int:
    """COPY calls and leads chunk by chunk and return the number of leads."""
    chunks = _encoded(people, anchor)
    done = leads = 0
    progress("calls", 0, people.scale.calls)
    upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            call_bytes, lead_bytes, call_count, lead_count = chunk
            columns = ("id", "user_id", "agent_id", "created_at", "duration_minutes", "credits_used", "status")
            await _copy(connection, "calls", columns, call_bytes)
            await _copy(connection, "lead_analytics", ("id", "call_id", "created_at", "total_score"), lead_bytes)
            done += call_count
            leads += lead_count
            progress("calls", done, people.scale.calls)
    finally:
        upcoming.cancel()
    return leads


def _encoded(people: Population, anchor: datetime) -> Iterator[tuple[bytes, bytes, int, int]]:
    for calls, leads in traffic(people, anchor):
        yield (
            call_rows(
                ids=calls.ids,
                user_ids=calls.user_ids,
                agent_ids=calls.agent_ids,
                created_at=calls.created_at,
                thousandths=calls.thousandths,
                cents=calls.cents,
                status=calls.status,
                statuses=CALL_STATUSES,
            ),
            lead_rows(ids=leads.ids, call_ids=leads.call_ids, created_at=leads.created_at, scores=leads.scores),
            calls.ids.size,
            leads.ids.size,
        )


async def _copy(connection: Connection, table: str, columns: tuple[str, ...], rows: bytes) -> None:
    async def messages() -> AsyncIterator[bytes]:
        yield HEADER
        for start in range(0, len(rows), _MESSAGE):
            yield rows[start : start + _MESSAGE]
        yield TRAILER

    await connection.copy_to_table(table, source=messages(), columns=columns, format="binary", freeze=True)
