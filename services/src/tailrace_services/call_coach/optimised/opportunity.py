"""``analyze_opportunity``: one statement, read once. Touches: the cache, the database, 1 round trip.

Cost: the turns of 25 calls and 50 emails at most, by index, and some 20 us a turn to read them, however busy the
opportunity is; it is kept until something of it changes, or the day ends.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Row, text

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.db import Database
from tailrace.schema import Declaration, Index
from tailrace_services.call_coach.analyst import Turn
from tailrace_services.call_coach.model import CallOpportunity, Email
from tailrace_services.call_coach.optimised.kept import kept
from tailrace_services.call_coach.optimised.watches import tags_of_calls
from tailrace_services.call_coach.tools.opportunity import (
    MOST_CALLS,
    MOST_EMAILS,
    AnalyzeOpportunity,
    HeldCall,
    OpportunityAnalysis,
    OpportunityFacts,
    OpportunityHead,
    SentEmail,
    opportunity_analysis,
    opportunity_not_found,
)

__all__ = ["CONTACTED", "OBJECTS", "analyze_opportunity", "read_opportunity"]

POLICY = CachePolicy("analyze_opportunity", ttl=3600.0)
LINKS = CachePolicy("opportunity_calls", ttl=3600.0)
ANSWER = TypeAdapter(OpportunityAnalysis)
CALL_IDS = TypeAdapter(list[int])

OBJECTS: tuple[Declaration, ...] = (
    Index("call_opportunities_opportunity", CallOpportunity, ["opportunity_id", "call_id"]),
    Index(
        "emails_opportunity_sent",
        Email,
        ["opportunity_id", Email.__table__.c.sent_at.desc(), Email.__table__.c.id.desc()],
    ),
)
"""What belongs to an opportunity; what belongs to a call has indexes already."""

LINKED = text("SELECT call_id FROM call_opportunities WHERE opportunity_id = :opportunity_id ORDER BY call_id")

CONTACTED = text(f"""
WITH newest_calls AS (
    SELECT c.id, c.title, c.call_type, c.scheduled_at
    FROM call_opportunities l JOIN calls c ON c.id = l.call_id
    WHERE l.opportunity_id = :opportunity_id ORDER BY c.scheduled_at DESC, c.id DESC LIMIT {MOST_CALLS}
), newest_emails AS (
    SELECT id, sender_email, recipients, subject, body, sent_at
    FROM emails WHERE opportunity_id = :opportunity_id ORDER BY sent_at DESC, id DESC LIMIT {MOST_EMAILS}
), contacted AS (
    SELECT c.id, c.scheduled_at AS at, c.title, c.call_type, NULL AS sender_email, NULL AS body,
           ARRAY(SELECT coalesce(nullif(s.email, ''), s.name) FROM speakers s
                 WHERE s.call_id = c.id AND s.company_side = 'prospect') AS people,
           (SELECT json_agg(json_build_array(t.sequence_number, s.name, s.company_side, t.start_ms, t.end_ms, t.text))
            FROM transcripts t JOIN speakers s ON s.id = t.speaker_id WHERE t.call_id = c.id)::text AS turns
    FROM newest_calls c
    UNION ALL
    SELECT id, sent_at, subject, NULL, sender_email, body, recipients, NULL FROM newest_emails
)
SELECT o.id AS opportunity_id, o.name, o.account, o.owner_email, o.stage, o.amount, o.close_date, o.health_score,
       (SELECT count(*) FROM call_opportunities WHERE opportunity_id = o.id) AS calls,
       (SELECT count(*) FROM emails WHERE opportunity_id = o.id) AS emails, contacted.*
FROM opportunities o LEFT JOIN contacted ON true WHERE o.id = :opportunity_id
""")  # noqa: S608 - constants


async def analyze_opportunity(
    cache: Cache, database: Database, question: AnalyzeOpportunity, now: datetime
) -> OpportunityAnalysis:
    """The answer, from the cache if it has it; what it depends on is known once the opportunity's calls are.

    Raises:
        RequestError: 404, there is no such opportunity.
        DatabaseError: one of its kinds.
    """
    opportunity_id = question.opportunity_id
    linked = tag("call_opportunities", "opportunity_id", opportunity_id)
    calls = await kept(
        cache, LINKS, (opportunity_id,), lambda: _linked(database, opportunity_id), CALL_IDS, depends_on=(linked,)
    )
    # The calls are part of the key: with another one, another answer is looked for, which depends on it too.
    return await kept(
        cache,
        POLICY,
        (opportunity_id, now.date(), *calls),
        lambda: read_opportunity(database, opportunity_id, now.date()),
        ANSWER,
        depends_on=(
            linked,
            tag("opportunities", "id", opportunity_id),
            tag("emails", "opportunity_id", opportunity_id),
            *tags_of_calls(tuple(calls)),
        ),
    )


async def _linked(database: Database, opportunity_id: int) -> list[int]:
    return [row.call_id for row in await database.fetch(LINKED, {"opportunity_id": opportunity_id})]


async def read_opportunity(database: Database, opportunity_id: int, today: date) -> OpportunityAnalysis:
    """The answer, from the database.

    Raises:
        RequestError: 404, there is no such opportunity.
        DatabaseError: one of its kinds.
    """
    rows = await database.fetch(CONTACTED, {"opportunity_id": opportunity_id})
    if not rows:
        raise opportunity_not_found(opportunity_id)
    head = rows[0]
    facts = OpportunityFacts(
        OpportunityHead(
            *(head.opportunity_id, head.name, head.account, head.owner_email, head.stage),
            *(head.amount, head.close_date, head.health_score),
        ),
        head.calls,
        head.emails,
        [_call(row) for row in rows if row.call_type is not None],
        [_email(row) for row in rows if row.sender_email is not None],
    )
    return opportunity_analysis(facts, today)


def _call(row: Row[Any]) -> HeldCall:
    turns = tuple(Turn(*turn) for turn in json.loads(row.turns or "[]"))
    return HeldCall(row.id, row.title, row.call_type, row.at, frozenset(row.people), turns)


def _email(row: Row[Any]) -> SentEmail:
    return SentEmail(row.id, row.sender_email, tuple(row.people), row.title, row.body, row.at)
