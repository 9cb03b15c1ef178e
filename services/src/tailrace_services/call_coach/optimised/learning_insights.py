"""``get_learning_insights``: chosen from summaries and indexes, from metrics that are kept. Touches: the cache and the
database, 4 round trips.

Cost: some thousands of rows of the summaries, some hundreds of sessions by index, the metrics of 42 calls at most.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, text

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.db import Database
from tailrace_services.call_coach.analyst.analysis import Evidence
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.optimised.call_metrics import call_metrics
from tailrace_services.call_coach.optimised.coaching_rollups import EVERYTHING, pieces
from tailrace_services.call_coach.optimised.kept import kept
from tailrace_services.call_coach.optimised.rep_insights import read_own
from tailrace_services.call_coach.optimised.watches import tags_of_calls
from tailrace_services.call_coach.tools.learning_insights import (
    FEWEST_SESSIONS,
    HEARD_SESSIONS,
    TOP_PERFORMERS,
    Chosen,
    GetLearningInsights,
    LearningInsights,
    Sample,
    Segment,
    SegmentTurn,
    Session,
    TopPerformer,
    learning_insights,
    sample,
    top_performers,
)
from tailrace_services.call_coach.tools.period import Period, latest
from tailrace_services.call_coach.tools.rep_insights import Marks

__all__ = ["NEWEST", "SEGMENTS", "TOP", "get_learning_insights", "read_sample"]

POLICY = CachePolicy("get_learning_insights", ttl=3600.0)
SAMPLES = CachePolicy("learning_sample", ttl=3600.0)
ANSWER = TypeAdapter(LearningInsights)
SAMPLE = TypeAdapter(Sample)

# Candidates in the order of the answer, so that no more of them than are wanted leave the database.
TOP = {
    dimension: text(f"""
WITH sums AS (
    SELECT rep_id, sum(sign * {dimension}_sessions::int) AS sessions, sum(sign * {dimension}_points::int) AS points
    FROM ({EVERYTHING.parts}) AS part WHERE rep_id <> :rep_id GROUP BY rep_id
    HAVING sum(sign * {dimension}_sessions::int) >= {FEWEST_SESSIONS}
)
SELECT r.id, r.email, r.name, sessions, points FROM sums JOIN reps r ON r.id = rep_id
ORDER BY points::float8 / sessions DESC, r.email COLLATE "C" LIMIT {TOP_PERFORMERS}
""")  # noqa: S608 - constants
    for dimension in DIMENSIONS
}

NEWEST = text(f"""
SELECT whose.rep_id, s.id, s.call_id, s.score, s.has_evidence
FROM unnest(CAST(:rep_ids AS bigint[])) AS whose (rep_id) CROSS JOIN LATERAL (
    SELECT id, call_id, score, evidence <> '[]'::jsonb AS has_evidence, created_at FROM coaching_sessions
    WHERE rep_id = whose.rep_id AND dimension = :dimension AND rubric_version = :rubric_version
      AND created_at >= :start AND created_at < :end
    ORDER BY created_at DESC, id DESC LIMIT {HEARD_SESSIONS}
) s ORDER BY s.created_at DESC, s.id DESC
""")  # noqa: S608 - a constant

SEGMENTS = text("""
SELECT s.id AS session_id, c.id, c.title, c.scheduled_at, (s.evidence -> 0)::text AS evidence,
  (SELECT json_agg(json_build_array(t.sequence_number, p.name, p.company_side, t.start_ms, t.end_ms, t.text)
                   ORDER BY t.sequence_number, t.id)
   FROM transcripts t JOIN speakers p ON p.id = t.speaker_id
   WHERE t.call_id = c.id AND t.sequence_number BETWEEN around.number - 1 AND around.number + 1)::text AS turns
FROM coaching_sessions s JOIN calls c ON c.id = s.call_id
CROSS JOIN LATERAL (SELECT (s.evidence -> 0 ->> 'sequence_number')::int AS number) around
WHERE s.id = ANY(:session_ids)
""")


async def get_learning_insights(
    cache: Cache, database: Database, question: GetLearningInsights, now: datetime
) -> LearningInsights:
    """The answer, from the cache if it has it; what it depends on is known once it is chosen what to compare.

    Raises:
        RequestError: 404, there is no such representative.
        DatabaseError: one of its kinds.
    """
    period = question.period or latest(now)
    asked = (question.rep_email, question.focus_area, period.first_day, period.last_day, question.rubric_version)
    by_sessions = (tag("coaching_sessions"), tag("reps"))
    chosen = await kept(
        cache, SAMPLES, asked, lambda: read_sample(database, question, period), SAMPLE, depends_on=by_sessions
    )
    calls = tuple(dict.fromkeys((*chosen.calls, *(each.call_id for each in chosen.chosen))))

    async def compare() -> LearningInsights:
        metrics, segments = await asyncio.gather(
            call_metrics(database, chosen.calls), _segments(database, chosen.chosen)
        )
        return learning_insights(question, chosen, metrics, segments)

    # What was chosen is part of the key: of another choice another answer is looked for, which depends on its calls.
    digest = hashlib.sha256(SAMPLE.dump_json(chosen)).hexdigest()
    return await kept(
        cache, POLICY, (*asked, digest), compare, ANSWER, depends_on=(*by_sessions, *tags_of_calls(calls))
    )


async def read_sample(database: Database, question: GetLearningInsights, period: Period) -> Sample:
    """Who and what is compared, from the database.

    Raises:
        RequestError: 404, there is no such representative.
        DatabaseError: one of its kinds.
    """
    own = await read_own(database, question.rep_email, question.rubric_version, period)
    place = DIMENSIONS.index(question.focus_area)
    marks = sum((week[place] for week in own.weeks.values()), Marks())
    top: Sequence[TopPerformer] = ()
    sessions: Mapping[int | None, Sequence[Session]] = {}
    if own.rubric_version is not None:
        of_rubric = {"rubric_version": own.rubric_version}
        candidates = await database.fetch(
            TOP[question.focus_area], {"rep_id": own.rep_id, **of_rubric, **pieces(period)}
        )
        top = top_performers([(row.id, row.email, row.name, Marks(row.sessions, row.points)) for row in candidates])
        rows = await database.fetch(
            NEWEST,
            {
                "rep_ids": [own.rep_id, *(each.id for each in top)],
                "dimension": question.focus_area,
                "start": period.start,
                "end": period.end,
                **of_rubric,
            },
        )
        sessions = _by_rep(rows, own.rep_id)
    return sample(own.rep, period, own.rubric_version, marks, top, sessions)


def _by_rep(rows: Sequence[Row[Any]], own_id: int) -> Mapping[int | None, Sequence[Session]]:
    found: defaultdict[int | None, list[Session]] = defaultdict(list)
    for row in rows:
        whose = None if row.rep_id == own_id else row.rep_id
        found[whose].append(Session(row.id, row.call_id, row.score, row.has_evidence))
    return found


async def _segments(database: Database, chosen: Sequence[Chosen]) -> list[Segment]:
    """The segments that are still there, in the same order."""
    if not chosen:
        return []
    rows = await database.fetch(SEGMENTS, {"session_ids": [each.session_id for each in chosen]})
    found = {row.session_id: row for row in rows}
    return [_segment(found[each.session_id], each) for each in chosen if each.session_id in found]


def _segment(row: Row[Any], chosen: Chosen) -> Segment:
    return Segment(
        row.id,
        row.title,
        row.scheduled_at,
        chosen.rep.email,
        chosen.rep.name,
        chosen.score,
        Evidence(**json.loads(row.evidence)),
        tuple(SegmentTurn(*turn) for turn in json.loads(row.turns or "[]")),
    )
