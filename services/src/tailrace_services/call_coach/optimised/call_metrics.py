"""Conversation metrics of calls, measured once for each transcript and kept in the database. Touches: the database.

A kept figure counts only if it was measured from exactly the turns and speakers that there are, by the definitions as
they are. Two who measure the same call at once write the same; who was faster does not matter.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace_services.call_coach.analyst import Conversation, Metrics, Turn, measure
from tailrace_services.call_coach.analyst.metrics import METRICS_VERSION
from tailrace_services.call_coach.tools.analyze_call import TRANSCRIPT_VERSION

__all__ = ["KEPT", "call_metrics"]

METRICS = TypeAdapter(Metrics)

VERSION_OF_EACH = TRANSCRIPT_VERSION.replace(":call_id", "c.id")
_VERSIONED = f"calls c CROSS JOIN LATERAL (SELECT {VERSION_OF_EACH} AS version OFFSET 0) v"

KEPT = text(f"""
SELECT c.id, m.metrics::text AS metrics FROM {_VERSIONED}
JOIN call_metrics m ON m.call_id = c.id AND m.transcript_version = v.version AND m.definition = :definition
WHERE c.id = ANY(:call_ids)
""")  # noqa: S608 - constants

TRANSCRIPTS = text(f"""
SELECT c.id, v.version,
  (SELECT json_agg(json_build_array(sequence_number, name, company_side, start_ms, end_ms, text)
                   ORDER BY sequence_number)
   FROM transcripts t JOIN speakers s ON s.id = t.speaker_id WHERE t.call_id = c.id)::text AS turns
FROM {_VERSIONED} WHERE c.id = ANY(:call_ids)
""")  # noqa: S608 - constants

# The calls are locked against removal, which the foreign key asks for, in one order for all.
KEEP = text("""
WITH present AS (
    SELECT m.* FROM jsonb_to_recordset(CAST(:measured AS jsonb))
      AS m (call_id bigint, definition text, transcript_version text, metrics jsonb)
    JOIN calls c ON c.id = m.call_id ORDER BY c.id FOR KEY SHARE OF c
)
INSERT INTO call_metrics (call_id, definition, transcript_version, metrics)
SELECT call_id, definition, transcript_version, metrics FROM present
ON CONFLICT (call_id) DO UPDATE SET definition = excluded.definition,
  transcript_version = excluded.transcript_version, metrics = excluded.metrics
""")


async def call_metrics(database: Database, call_ids: Sequence[int]) -> dict[int, Metrics]:
    """The metrics of each call that there is.

    Raises:
        DatabaseError: one of its kinds.

    Cost: 1 round trip and some 0.1 ms a call; what has to be measured, two more and some 3 ms a call of 20 turns,
    on another thread.
    """
    if not call_ids:
        return {}
    rows = await database.fetch(KEPT, {"call_ids": list(call_ids), "definition": METRICS_VERSION})
    found = {row.id: METRICS.validate_json(row.metrics) for row in rows}
    if missing := [call_id for call_id in call_ids if call_id not in found]:
        found |= await _measured(database, missing)
    return found


async def _measured(database: Database, call_ids: list[int]) -> dict[int, Metrics]:
    found: dict[int, Metrics] = {}
    measured: list[dict[str, Any]] = []
    for row in await database.fetch(TRANSCRIPTS, {"call_ids": call_ids}):
        metrics = await asyncio.to_thread(_measure, row.turns)  # a long call takes longer than others should wait
        found[row.id] = metrics
        measured.append(
            {
                "call_id": row.id,
                "definition": METRICS_VERSION,
                "transcript_version": row.version,
                "metrics": dataclasses.asdict(metrics),
            }
        )

    async def keep(session: AsyncSession) -> None:
        await session.execute(KEEP, {"measured": json.dumps(measured)})

    await database.run(keep, idempotent=True)
    return found


def _measure(turns: str | None) -> Metrics:
    """The metrics of one call's turns, as ``TRANSCRIPTS`` gives them."""
    return measure(Conversation.of(Turn(*turn) for turn in json.loads(turns or "[]")))
