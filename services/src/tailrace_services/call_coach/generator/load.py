"""Write generated rows by COPY. Touches: the connection handed in.

The next calls are made up on a thread while the server takes in the last, and makes their search vectors, which is most
of the time. Memory: about 150 bytes a call, and two chunks of text.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from tailrace_services.call_coach.generator.callers import caller_rows
from tailrace_services.call_coach.generator.calls import Plan, plan_calls
from tailrace_services.call_coach.generator.coaching import session_lines
from tailrace_services.call_coach.generator.correspondence import email_lines
from tailrace_services.call_coach.generator.population import DAYS, Population, populate
from tailrace_services.call_coach.generator.rows import call_lines, link_lines, speaker_lines, turn_lines
from tailrace_services.call_coach.generator.scale import SCALES, Scale
from tailrace_services.call_coach.generator.turns import make_turns
from tailrace_services.call_coach.generator.vocabulary import Pools, load_vocabulary, sentence_pools
from tailrace_services.call_coach.model import Base
from tailrace_services.data.generation import GeneratedDataset, Generation
from tailrace_services.data.loading import Connection, Progress, copy_rows, hand_over

__all__ = ["GENERATION", "CallCoachDataset"]

_CHUNK = 2_000
"""Calls made up at a time: about 10 MB of text."""
_EMAILS = 50_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCoachDataset(GeneratedDataset):
    """What is loaded."""

    reps: int
    opportunities: int
    calls: int
    turns: int
    emails: int
    sessions: int


async def fill(
    connection: Connection, scale: Scale, seed: int, anchor: datetime, progress: Progress
) -> CallCoachDataset:
    """Write all rows."""
    people = populate(scale, seed, load_vocabulary())
    await _copy_people(connection, people, anchor - timedelta(days=DAYS))
    sessions = await _copy_calls(connection, people, anchor, progress)
    await _copy_emails(connection, people, anchor, progress)
    return CallCoachDataset(
        scale=scale.name,
        seed=seed,
        anchor=anchor,
        reps=scale.reps,
        opportunities=scale.opportunities,
        calls=scale.calls,
        turns=scale.turns,
        emails=scale.emails,
        sessions=sessions,
        created=True,
    )


async def _copy_people(connection: Connection, people: Population, start: datetime) -> None:
    reps = ("id", "email", "name", "team", "created_at")
    offers = ("id", "name", "account", "owner_email", "stage", "amount", "close_date", "health_score", "created_at")
    callers = ("id", "name", "email", "api_key_hash", "created_at")
    await connection.copy_records_to_table("reps", records=people.rep_rows(start), columns=reps)
    await connection.copy_records_to_table("callers", records=caller_rows(people, start), columns=callers)
    await connection.copy_records_to_table("opportunities", records=people.opportunity_rows(start), columns=offers)


async def _copy_calls(connection: Connection, people: Population, anchor: datetime, progress: Progress) -> int:
    """COPY all that belongs to calls, chunk by chunk, and return the number of coaching sessions."""
    total = people.scale.calls
    progress("calls", 0, total)
    done = sessions = 0

    async def take(chunk: dict[str, list[str]]) -> None:
        nonlocal done, sessions
        for table, lines in chunk.items():
            await _copy(connection, table, lines)
        done += len(chunk["calls"])
        sessions += len(chunk["coaching_sessions"])
        progress("calls", done, total)

    await hand_over(_chunks(people, anchor), take)
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
    await copy_rows(connection, table, _COLUMNS[table], "".join(lines).encode(), form="text")


GENERATION = Generation("call_coach", Base.metadata, SCALES, CallCoachDataset, fill)
