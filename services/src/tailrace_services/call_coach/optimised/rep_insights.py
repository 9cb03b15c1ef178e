"""``get_rep_insights``: two statements over summaries of scores. Touches: the database, 2 or 3 round trips.

Cost: some thousands of rows of the summaries, and a hundred sessions by index, however many sessions there are.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, TextClause, text

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.db import Database
from tailrace.schema import Declaration, Index
from tailrace_services.call_coach.model import DIMENSIONS, CoachingSession
from tailrace_services.call_coach.optimised.coaching_rollups import EVERYTHING, ONE_PRODUCT, Summaries, pieces
from tailrace_services.call_coach.optimised.kept import kept
from tailrace_services.call_coach.tools.coaching_plan import REMARKED_SESSIONS
from tailrace_services.call_coach.tools.period import Period, latest
from tailrace_services.call_coach.tools.rep_insights import (
    Averages,
    GetRepInsights,
    Marks,
    RepFacts,
    RepInsights,
    RepName,
    insights,
    prevailing,
    rep_not_found,
)

__all__ = ["OBJECTS", "OWN_WEEKS", "PEERS", "REMARKS", "Own", "get_rep_insights", "read_own", "read_rep_insights"]

POLICY = CachePolicy("get_rep_insights", ttl=3600.0)
ANSWER = TypeAdapter(RepInsights)

sessions = CoachingSession.__table__.c

OBJECTS: tuple[Declaration, ...] = (
    Index(
        "coaching_sessions_rep_created",
        CoachingSession,
        [sessions.rep_id, sessions.created_at.desc(), sessions.id.desc()],
    ),
)
"""The newest sessions of a representative."""

_WEEK = ", ".join(
    f"sum({dimension}_sessions)::bigint AS {dimension}_sessions, sum({dimension}_points)::bigint AS {dimension}_points"
    for dimension in DIMENSIONS
)
_AVERAGES = ", ".join(
    f"sum(sign * {dimension}_points::int)::float8 / nullif(sum(sign * {dimension}_sessions::int), 0) AS {dimension}"
    for dimension in DIMENSIONS
)


def own_weeks(summaries: Summaries) -> TextClause:
    """The representative, and the sums of each week and rubric; one row at least if there is such a one."""
    return text(f"""
WITH found AS (
    SELECT rubric_version, date_trunc('week', date::timestamp)::date AS week, {_WEEK}
    FROM {summaries.days.name} JOIN reps ON reps.id = rep_id
    WHERE reps.email = :email AND date >= :first_day AND date <= :last_day AND {summaries.condition}
      AND (CAST(:rubric_version AS text) IS NULL OR rubric_version = :rubric_version)
    GROUP BY 1, 2 HAVING sum(row_count) > 0  -- a key whose sessions have all gone is still there
)
SELECT reps.id, reps.email, reps.name, reps.team, found.*
FROM reps LEFT JOIN found ON true WHERE reps.email = :email
""")  # noqa: S608 - constants


def peers(summaries: Summaries) -> TextClause:
    """The averages of all others: an array for each dimension, all of one order, because they are of one grouping."""
    return text(f"""
WITH averages AS (SELECT {_AVERAGES} FROM ({summaries.parts}) AS part WHERE rep_id <> :rep_id GROUP BY rep_id)
SELECT {", ".join(f"array_agg({dimension})" for dimension in DIMENSIONS)} FROM averages
""")  # noqa: S608 - constants


OWN_WEEKS = {summaries: own_weeks(summaries) for summaries in (EVERYTHING, ONE_PRODUCT)}
PEERS = {summaries: peers(summaries) for summaries in (EVERYTHING, ONE_PRODUCT)}

REMARKS = text(f"""
SELECT s.dimension, s.improvements FROM coaching_sessions s
WHERE s.rep_id = :rep_id AND s.created_at >= :start AND s.created_at < :end AND s.rubric_version = :rubric_version
  AND (CAST(:product AS text) IS NULL OR (SELECT c.product FROM calls c WHERE c.id = s.call_id) = :product)
ORDER BY s.created_at DESC, s.id DESC LIMIT {REMARKED_SESSIONS}
""")  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class Own:
    """A representative and their sessions by one rubric, by week and dimension."""

    rep_id: int
    rep: RepName
    rubric_version: str | None
    weeks: Mapping[date, Sequence[Marks]]


async def get_rep_insights(cache: Cache, database: Database, question: GetRepInsights, now: datetime) -> RepInsights:
    """The answer, from the cache if it has it.

    Everybody's sessions end it, because of the peers; what calls are about only where a product is asked for.

    Raises:
        RequestError: 404, there is no such representative.
        DatabaseError: one of its kinds.
    """
    period = question.period or latest(now)
    return await kept(
        cache,
        POLICY,
        (question.rep_email, period.first_day, period.last_day, question.product, question.rubric_version),
        lambda: read_rep_insights(database, question, period),
        ANSWER,
        depends_on=(tag("coaching_sessions"), tag("reps"), *(() if question.product is None else (tag("calls"),))),
    )


async def read_rep_insights(database: Database, question: GetRepInsights, period: Period) -> RepInsights:
    """The answer, from the database.

    Raises:
        RequestError: 404, there is no such representative.
        DatabaseError: one of its kinds.
    """
    product = question.product
    own = await read_own(database, question.rep_email, question.rubric_version, period, product)
    others: Sequence[Averages] = ()
    remarks: Sequence[Row[Any]] = ()
    if own.rubric_version is not None:
        whose = {"rep_id": own.rep_id, "rubric_version": own.rubric_version}
        others, remarks = await asyncio.gather(
            _peers(database, product, {**whose, **pieces(period)}),
            database.fetch(REMARKS, {**whose, "start": period.start, "end": period.end, "product": product}),
        )
    return insights(
        question, RepFacts(own.rep, period, own.rubric_version, own.weeks, others, [tuple(row) for row in remarks])
    )


async def read_own(
    database: Database, email: str, rubric_version: str | None, period: Period, product: str | None = None
) -> Own:
    """A representative and their sessions, by one rubric: the one that is asked for, or that prevails.

    Raises:
        RequestError: 404, there is no such representative.
        DatabaseError: one of its kinds.
    """
    asked = {"email": email, "rubric_version": rubric_version}
    days = {"first_day": period.first_day, "last_day": period.last_day}
    summaries, about = _about(product)
    rows = await database.fetch(OWN_WEEKS[summaries], {**asked, **days, **about})
    if not rows:
        raise rep_not_found(email)
    weeks = _by_rubric(rows)
    rubric = prevailing({name: _sessions(of_rubric) for name, of_rubric in weeks.items()}) or rubric_version
    rep = RepName(rows[0].email, rows[0].name, rows[0].team)
    return Own(rows[0].id, rep, rubric, weeks.get(rubric or "", {}))


def _about(product: str | None) -> tuple[Summaries, dict[str, str]]:
    return (EVERYTHING, {}) if product is None else (ONE_PRODUCT, {"product": product})


async def _peers(database: Database, product: str | None, parameters: Mapping[str, Any]) -> Sequence[Averages]:
    summaries, about = _about(product)
    (columns,) = await database.fetch(PEERS[summaries], {**parameters, **about})
    return [] if columns[0] is None else list(zip(*columns, strict=True))


def _by_rubric(rows: Sequence[Row[Any]]) -> defaultdict[str, dict[date, tuple[Marks, ...]]]:
    found: defaultdict[str, dict[date, tuple[Marks, ...]]] = defaultdict(dict)
    for row in rows:
        if row.rubric_version is not None:
            found[row.rubric_version][row.week] = tuple(
                Marks(row._mapping[f"{dimension}_sessions"], row._mapping[f"{dimension}_points"])
                for dimension in DIMENSIONS
            )
    return found


def _sessions(weeks: Mapping[date, Sequence[Marks]]) -> int:
    return sum(marks.sessions for week in weeks.values() for marks in week)
