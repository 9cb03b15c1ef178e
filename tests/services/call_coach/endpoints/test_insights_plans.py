"""The optimised insights' statements go by the indexes that are declared beside them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import TextClause, text
from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace.db import Database
from tailrace_services.call_coach.optimised import learning_insights, opportunity, rep_insights
from tailrace_services.call_coach.optimised.coaching_rollups import EVERYTHING, ONE_PRODUCT, pieces
from tailrace_services.call_coach.tools.period import Period

PERIOD = Period(date(2026, 1, 5), date(2026, 3, 12))
WHOSE = {
    "rep_id": 1,
    "rubric_version": "manager-1",
    "start": datetime(2026, 1, 5, tzinfo=UTC),
    "end": datetime(2026, 3, 13, tzinfo=UTC),
}
OWN = {
    "email": "rep0001@tailrace.example",
    "rubric_version": None,
    "first_day": PERIOD.first_day,
    "last_day": PERIOD.last_day,
}


async def plan(service: Service, statement: TextClause, parameters: dict[str, Any]) -> str:
    """How the server would run it if tables were too large to read whole, which here they are not."""
    database = Database(service.database_url)
    try:
        async with database.session() as session:
            await session.execute(text("SET LOCAL enable_seqscan = off"))
            rows = await session.execute(text(f"EXPLAIN {statement.text}"), parameters)
            return "\n".join(row[0] for row in rows)
    finally:
        await database.aclose()


@pytest.mark.parametrize(
    ("statement", "parameters", "indexes"),
    [
        (rep_insights.REMARKS, {**WHOSE, "product": None}, ["coaching_sessions_rep_created"]),
        (rep_insights.OWN_WEEKS[EVERYTHING], OWN, ["reps_email_key", "coaching_by_day_"]),
        (
            rep_insights.OWN_WEEKS[ONE_PRODUCT],
            {**OWN, "product": "Harbor Storage"},
            ["reps_email_key", "coaching_by_product_day_"],
        ),
        (rep_insights.PEERS[EVERYTHING], {**WHOSE, **pieces(PERIOD)}, ["coaching_by_month_", "coaching_by_day_"]),
        (
            learning_insights.NEWEST,
            {**WHOSE, "rep_ids": [1, 2], "dimension": "discovery"},
            ["coaching_sessions_rep_created"],
        ),
        (
            learning_insights.SEGMENTS,
            {"session_ids": [1, 2]},
            ["coaching_sessions_pkey", "calls_pkey", "transcripts_call_sequence"],
        ),
        (
            opportunity.CONTACTED,
            {"opportunity_id": 7},
            [
                "call_opportunities_opportunity",
                "emails_opportunity_sent",
                "transcripts_call_sequence",
                "speakers_call",
                "opportunities_pkey",
            ],
        ),
    ],
)
async def test_statements_use_their_indexes(
    statement: TextClause, parameters: dict[str, Any], indexes: list[str], start_service: StartService
) -> None:
    """Each index is in its statement's plan, and no table is read whole."""
    async with start_service("optimised") as service:
        wanted = {key: value for key, value in parameters.items() if f":{key}" in statement.text}
        shown = await plan(service, statement, wanted)
    assert [index for index in indexes if index not in shown] == [], shown
    assert "Seq Scan" not in shown
