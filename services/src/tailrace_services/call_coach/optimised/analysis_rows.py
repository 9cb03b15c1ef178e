"""Stored analyses, and the lease of whoever makes one. Touches: the database.

Each step is one statement that may be run twice, because a connection may be lost when nobody can tell whether it had
been run. A lease is a row that says until when its owner, who renews it, alone may store an analysis of the call: what
an owner stores whose lease has passed to another is refused. All its times are the database's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace.schema import Index
from tailrace_services.call_coach.analyst import Conversation, Turn
from tailrace_services.call_coach.model import CoachingSession, Speaker
from tailrace_services.call_coach.model import Turn as TurnRow
from tailrace_services.call_coach.tools.analyze_call import ANALYSIS, TRANSCRIPT_VERSION, CallAnalysis

__all__ = ["LEASE", "OBJECTS", "AnalysisRows", "CallState"]

LEASE = 5.0
"""Seconds after which a call is free again whose analyst has died."""

OBJECTS = (
    Index("transcripts_call_sequence", TurnRow, ["call_id", "sequence_number"]),
    Index("speakers_call", Speaker, ["call_id"]),
    Index("coaching_sessions_call", CoachingSession, ["call_id"]),
)
"""What belongs to a call; the analyses' own key leads with it already."""

FIND = f"""
SELECT v.version, a.analysis::text AS analysis, a.analysed_at, a.begun_at, a.is_current{{turns}}
FROM calls c
CROSS JOIN LATERAL (SELECT {TRANSCRIPT_VERSION} AS version) v
LEFT JOIN call_analyses a
  ON a.call_id = c.id AND a.rubric_version = :rubric_version AND a.transcript_version = v.version
WHERE c.id = :call_id
"""  # noqa: S608 - a constant
TURNS = """,
  (SELECT json_agg(json_build_array(sequence_number, name, company_side, start_ms, end_ms, text)
                   ORDER BY start_ms, sequence_number)
   FROM transcripts t JOIN speakers s ON s.id = t.speaker_id WHERE t.call_id = c.id)::text AS turns"""
STATE, STATE_AND_TURNS = text(FIND.format(turns="")), text(FIND.format(turns=TURNS))

CLAIM = text("""
INSERT INTO analysis_leases (call_id, rubric_version, owner, begun_at, expires_at)
SELECT id, :rubric_version, :owner, clock_timestamp(), clock_timestamp() + make_interval(secs => :seconds)
FROM calls WHERE id = :call_id
ON CONFLICT (call_id, rubric_version) DO UPDATE
SET owner = excluded.owner, begun_at = excluded.begun_at, expires_at = excluded.expires_at
WHERE analysis_leases.expires_at < clock_timestamp() OR analysis_leases.owner = excluded.owner
RETURNING call_id
""")
RENEW = text("""
UPDATE analysis_leases SET expires_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE call_id = :call_id AND rubric_version = :rubric_version AND owner = :owner
RETURNING call_id
""")
RELEASE = text("""
DELETE FROM analysis_leases WHERE call_id = :call_id AND rubric_version = :rubric_version AND owner = :owner
RETURNING call_id
""")
STORE = text("""
WITH held AS (
  DELETE FROM analysis_leases WHERE call_id = :call_id AND rubric_version = :rubric_version AND owner = :owner
  RETURNING call_id, rubric_version, begun_at
), outdated AS (
  UPDATE call_analyses a SET is_current = false FROM held
  WHERE a.call_id = held.call_id AND a.rubric_version = held.rubric_version AND a.is_current
    AND a.transcript_version <> :transcript_version
), stored AS (
  INSERT INTO call_analyses
    (call_id, rubric_version, transcript_version, analysis, is_current, begun_at, analysed_at)
  SELECT call_id, rubric_version, :transcript_version, CAST(:analysis AS jsonb), true,
         coalesce(CAST(:begun_at AS timestamptz), begun_at), :analysed_at
  FROM held
  ON CONFLICT (call_id, rubric_version, transcript_version) DO UPDATE
  SET analysis = excluded.analysis, is_current = true, begun_at = excluded.begun_at, analysed_at = excluded.analysed_at
), removed AS (
  DELETE FROM coaching_sessions s USING held
  WHERE s.call_id = held.call_id AND s.rubric_version = held.rubric_version
), representative AS (
  SELECT r.id FROM speakers s JOIN reps r ON r.email = s.email
  WHERE s.call_id = :call_id AND s.company_side = 'rep' ORDER BY s.talk_time_seconds DESC, s.id LIMIT 1
), sessions AS (
  INSERT INTO coaching_sessions
    (call_id, rep_id, dimension, score, strengths, improvements, evidence, rubric_version, created_at)
  SELECT held.call_id, representative.id, d.dimension, d.score, d.strengths, d.improvements, d.evidence,
         held.rubric_version, :analysed_at
  FROM held, representative, jsonb_to_recordset(CAST(:analysis AS jsonb) -> 'dimensions')
    AS d (dimension text, score smallint, strengths text[], improvements text[], evidence jsonb)
  WHERE d.score IS NOT NULL
)
SELECT count(*) FROM held
""")
"""Everything that an analysis leaves behind, or nothing where the lease is no longer the owner's. The sessions are
those of the representative who spoke most."""

NOW = text("SELECT clock_timestamp()")


@dataclass(frozen=True, slots=True)
class CallState:
    """A call as it is: its transcript's version, and the analysis of exactly that, if there is one.

    ``begun_at`` is when that was begun, by the database's clock.
    """

    transcript_version: str
    stored: CallAnalysis | None
    begun_at: datetime | None
    is_current: bool


class AnalysisRows:
    """The rows of one rubric's analyses.

    Args:
        database: has the service's tables.
        rubric_version: which analyses.
    """

    def __init__(self, database: Database, rubric_version: str) -> None:
        self._database = database
        self._rubric_version = rubric_version

    async def now(self) -> datetime:
        """The database's time."""
        (row,) = await self._database.fetch(NOW)
        moment: datetime = row[0]
        return moment

    async def state(self, call_id: int) -> CallState | None:
        """The call; None if there is none. Cost: its turns and speakers by index, hashed in the database."""
        rows = await self._database.fetch(STATE, self._of(call_id))
        return _state(call_id, rows[0]) if rows else None

    async def state_and_turns(self, call_id: int) -> tuple[CallState, Conversation] | None:
        """The call with what was said in it, both of the same moment; None if there is none."""
        rows = await self._database.fetch(STATE_AND_TURNS, self._of(call_id))
        if not rows:
            return None
        return _state(call_id, rows[0]), Conversation.of(Turn(*turn) for turn in json.loads(rows[0].turns or "[]"))

    async def claim(self, call_id: int, owner: str) -> bool:
        """Whether ``owner`` has the call's lease now, for :data:`LEASE` seconds."""
        return bool(await self._database.fetch(CLAIM, self._of(call_id, owner=owner, seconds=LEASE)))

    async def renew(self, call_id: int, owner: str) -> bool:
        """Prolong the lease; False if it is another's."""
        return bool(await self._database.fetch(RENEW, self._of(call_id, owner=owner, seconds=LEASE)))

    async def release(self, call_id: int, owner: str) -> None:
        """End the lease, if it is still this owner's."""
        await self._database.fetch(RELEASE, self._of(call_id, owner=owner))

    async def store(self, found: CallAnalysis, owner: str, *, begun_at: datetime | None = None) -> bool:
        """Store an analysis as the current one and end the lease; False, and nothing done, if it is not this owner's.

        Args:
            begun_at: when the analysis was begun; None: when the lease was taken.
        """
        values = self._of(
            found.call_id,
            owner=owner,
            transcript_version=found.transcript_version,
            analysis=ANALYSIS.dump_json(found.analysis).decode(),
            begun_at=begun_at,
            analysed_at=found.analysed_at,
        )

        async def work(session: AsyncSession) -> bool:
            return bool(await session.scalar(STORE, values))

        # Run again after it was committed, it finds no lease and does nothing.
        return await self._database.run(work, idempotent=True)

    def _of(self, call_id: int, **more: Any) -> dict[str, Any]:
        return {"call_id": call_id, "rubric_version": self._rubric_version, **more}


def _state(call_id: int, row: Row[Any]) -> CallState:
    stored = None
    if row.analysis is not None:
        stored = CallAnalysis(call_id, row.version, row.analysed_at, ANALYSIS.validate_json(row.analysis))
    return CallState(row.version, stored, row.begun_at, bool(row.is_current))
