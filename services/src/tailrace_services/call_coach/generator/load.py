"""Load generated rows by COPY. Touches: the database, in one transaction.

All or nothing: the tables are truncated, filled, constrained again and recorded in ``dataset`` in one transaction. A
load that is interrupted leaves what was there before; a row in ``dataset`` means a whole load. Because the tables are
truncated in the same transaction, rows are written frozen (``COPY ... FREEZE``): no vacuum has to visit them again.

The next calls are made up on a thread while the server takes in the last, and makes their search vectors, which is most
of the time. Memory: about 150 bytes a call, and two chunks of text.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from tailrace.errors import DatabaseError
from tailrace_services.call_coach.generator.calls import Plan, plan_calls
from tailrace_services.call_coach.generator.coaching import session_lines
from tailrace_services.call_coach.generator.correspondence import email_lines
from tailrace_services.call_coach.generator.population import DAYS, Population, populate
from tailrace_services.call_coach.generator.rows import call_lines, link_lines, speaker_lines, turn_lines
from tailrace_services.call_coach.generator.scale import Scale
from tailrace_services.call_coach.generator.turns import make_turns
from tailrace_services.call_coach.generator.vocabulary import Pools, load_vocabulary, sentence_pools
from tailrace_services.data.connection import open_connection
from tailrace_services.data.loading import Connection, Progress, add_constraints, drop_constraints, finish_tables

__all__ = ["DEFAULT_SEED", "DatasetConflictError", "GeneratedDataset", "default_anchor", "generate", "loaded_dataset"]

DEFAULT_SEED = 1
"""The seed of generated data when none is given."""

_LOCK = 0x7461696C63616C67
_CHUNK = 2_000
"""Calls made up at a time: about 10 MB of text."""
_EMAILS = 50_000
_MESSAGE = 1 << 20
"""Bytes in one CopyData message."""
_ABOUT_CALLS = ("transcript_imports", "call_analyses", "analysis_leases")
"""Tables that are not generated, and lose their rows with the calls'."""
_COLUMNS = {
    "calls": ("id", "title", "product", "call_type", "scheduled_at", "duration_seconds", "created_at"),
    "speakers": ("id", "call_id", "name", "email", "role", "company_side", "talk_time_seconds"),
    "transcripts": ("id", "call_id", "speaker_id", "sequence_number", "start_ms", "end_ms", "text"),
    "call_opportunities": ("call_id", "opportunity_id"),
    "coaching_sessions": (
        *("id", "call_id", "rep_id", "dimension", "score", "strengths", "improvements", "evidence"),
        *("rubric_version", "created_at"),
    ),
    "emails": ("id", "opportunity_id", "sender_email", "recipients", "subject", "body", "sent_at"),
}
_NUMBERED = ("reps", "opportunities", "calls", "speakers", "transcripts", "coaching_sessions", "emails")


class DatasetConflictError(DatabaseError):
    """The database holds other rows than those asked for; nothing was changed."""

    code = "dataset_conflict"


@dataclass(frozen=True, slots=True)
class GeneratedDataset:
    """What is loaded. ``created`` is False if it was there already."""

    scale: str
    seed: int
    anchor: datetime
    reps: int
    opportunities: int
    calls: int
    turns: int
    emails: int
    sessions: int
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
        anchor: an aware moment, the end of the 365 days of calls. None: whatever is loaded, else the current hour.
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
        wanted = (scale.name, seed, scale.calls, scale.turns, scale.reps, scale.opportunities)
        if found and wanted == _described(found) and anchor in (None, found.anchor):
            return found
        if not replace:
            await _refuse_other_rows(connection, found)
        people = populate(scale, seed, load_vocabulary())
        return await _load(connection, people, anchor or default_anchor(datetime.now(UTC)), progress)


def _described(found: GeneratedDataset) -> tuple[object, ...]:
    return (found.scale, found.seed, found.calls, found.turns, found.reps, found.opportunities)


async def _recorded(connection: Connection) -> GeneratedDataset | None:
    row = await connection.fetchrow(
        "SELECT scale, seed, anchor, reps, opportunities, calls, turns, emails, sessions FROM dataset"
    )
    return GeneratedDataset(**dict(row)) if row else None


async def _refuse_other_rows(connection: Connection, found: GeneratedDataset | None) -> None:
    if found:
        what = f"the data set {found.scale} with seed {found.seed}, ending {found.anchor:%Y-%m-%d %H:%M} UTC"
        raise DatasetConflictError(f"the database already holds {what}; pass --replace to remove it first")
    if await connection.fetchval("SELECT EXISTS (SELECT FROM calls) OR EXISTS (SELECT FROM reps)"):
        raise DatasetConflictError("the database holds rows that were not generated; pass --replace to remove them")


async def _load(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> GeneratedDataset:
    # Tailrace's triggers and views may lean on the constraints; then they stay, and the load is slower.
    bare = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
    constraints = await drop_constraints(connection, (*_COLUMNS, *_ABOUT_CALLS)) if bare else []
    tables = ", ".join(("dataset", "reps", "opportunities", *_COLUMNS, *_ABOUT_CALLS))
    await connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
    await _copy_people(connection, people, anchor - timedelta(days=DAYS))
    sessions = await _copy_calls(connection, people, anchor, progress)
    await _copy_emails(connection, people, anchor, progress)
    await add_constraints(connection, constraints, progress)
    await finish_tables(connection, _NUMBERED, progress, others=("call_opportunities",))
    scale = people.scale
    counts = (scale.reps, scale.opportunities, scale.calls, scale.turns, scale.emails, sessions)
    await connection.execute(
        "INSERT INTO dataset (scale, seed, anchor, reps, opportunities, calls, turns, emails, sessions) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        *(scale.name, people.seed, anchor, *counts),
    )
    return GeneratedDataset(scale.name, people.seed, anchor, *counts, created=True)


async def _copy_people(connection: Connection, people: Population, start: datetime) -> None:
    reps = ("id", "email", "name", "team", "created_at")
    offers = ("id", "name", "account", "owner_email", "stage", "amount", "close_date", "health_score", "created_at")
    await connection.copy_records_to_table("reps", records=people.rep_rows(start), columns=reps)
    await connection.copy_records_to_table("opportunities", records=people.opportunity_rows(start), columns=offers)


async def _copy_calls(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> int:
    """COPY all that belongs to calls, chunk by chunk, and return the number of coaching sessions."""
    total = people.scale.calls
    progress("calls", 0, total)
    done = sessions = 0
    chunks = _chunks(people, anchor)
    upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            for table, lines in chunk.items():
                await _copy(connection, table, lines)
            done += len(chunk["calls"])
            sessions += len(chunk["coaching_sessions"])
            progress("calls", done, total)
    finally:
        upcoming.cancel()
    return sessions


def _chunks(people: Population, anchor: datetime) -> Iterator[dict[str, list[str]]]:
    """Lines for each table, some calls at a time."""
    plan = plan_calls(people, anchor)
    pools = sentence_pools(people.vocabulary, np.random.default_rng([people.seed, 2]))
    sessions = 0
    for number, first in enumerate(range(0, people.scale.calls, _CHUNK)):
        run = slice(first, min(first + _CHUNK, people.scale.calls))
        random = np.random.default_rng([people.seed, 5, number])
        chunk = _chunk(people, plan, run, pools, 1 + sessions, int(anchor.timestamp()), random)
        sessions += len(chunk["coaching_sessions"])
        yield chunk


def _chunk(
    people: Population, plan: Plan, run: slice, pools: Pools, session: int, ends: int, random: np.random.Generator
) -> dict[str, list[str]]:
    """Lines for each table, of the calls in ``run``."""
    turns = make_turns(people, plan, run, pools, random)
    length = turns.end_ms - turns.start_ms
    firsts = plan.first_speaker[run] - plan.first_speaker[run.start]
    spoken = np.bincount(firsts[turns.call] + turns.speaker, weights=length, minlength=int(plan.speakers[run].sum()))
    durations = np.maximum.reduceat(turns.end_ms, np.flatnonzero(turns.number == 1)) + 1000
    return {
        "calls": list(call_lines(people, plan, run, durations)),
        "speakers": list(speaker_lines(people, plan, run, spoken.astype(np.int64))),
        "transcripts": list(turn_lines(plan, run, turns)),
        "call_opportunities": list(link_lines(plan, run)),
        "coaching_sessions": list(session_lines(people, plan, run, turns, session, ends, random)),
    }


async def _copy_emails(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> None:
    lines, total = email_lines(people, anchor), people.scale.emails
    for done in range(0, total, _EMAILS):
        progress("emails", done, total)
        await _copy(connection, "emails", await asyncio.to_thread(lambda: list(itertools.islice(lines, _EMAILS))))
    progress("emails", total, total)


async def _copy(connection: Connection, table: str, lines: Iterable[str]) -> None:
    rows = "".join(lines).encode()

    async def messages() -> AsyncIterator[bytes]:
        for start in range(0, len(rows), _MESSAGE):
            yield rows[start : start + _MESSAGE]

    await connection.copy_to_table(table, source=messages(), columns=_COLUMNS[table], format="text", freeze=True)
