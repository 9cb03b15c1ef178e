"""``analyze_opportunity`` as it was: a query for each call, for its turns and people, and for each turn's speaker.
Touches: the database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace_services.call_coach.analyst import Turn as SpokenTurn
from tailrace_services.call_coach.model import Call, CallOpportunity, Email, Opportunity, Speaker, Turn
from tailrace_services.call_coach.tools import opportunity as tool

__all__ = ["analyze_opportunity"]


async def analyze_opportunity(
    session: AsyncSession, question: tool.AnalyzeOpportunity, now: datetime
) -> tool.OpportunityAnalysis:
    """Everything read anew, one row after another."""
    found = await session.get(Opportunity, question.opportunity_id)
    if found is None:
        raise tool.opportunity_not_found(question.opportunity_id)
    head = tool.OpportunityHead(
        *(found.id, found.name, found.account, found.owner_email, found.stage),
        *(found.amount, found.close_date, found.health_score),
    )
    ids = (
        await session.scalars(select(CallOpportunity.call_id).where(CallOpportunity.opportunity_id == found.id))
    ).all()
    calls = [(await session.scalars(select(Call).where(Call.id == call_id))).one() for call_id in ids]
    newest = sorted(calls, key=lambda call: (call.scheduled_at, call.id), reverse=True)[: tool.MOST_CALLS]
    emails = await session.scalars(
        select(Email)
        .where(Email.opportunity_id == found.id)
        .order_by(Email.sent_at.desc(), Email.id.desc())
        .limit(tool.MOST_EMAILS)
    )
    facts = tool.OpportunityFacts(
        head,
        len(calls),
        await session.scalar(select(func.count()).where(Email.opportunity_id == found.id)) or 0,
        [await _call(session, call) for call in newest],
        [
            tool.SentEmail(
                each.id,
                each.sender_email,
                tuple(each.recipients),
                each.subject,
                each.body,
                each.sent_at.astimezone(UTC),
            )
            for each in emails
        ],
    )
    return tool.opportunity_analysis(facts, now.date())


async def _call(session: AsyncSession, call: Call) -> tool.HeldCall:
    turns = []
    for turn in await session.scalars(select(Turn).where(Turn.call_id == call.id)):
        speaker = (await session.scalars(select(Speaker).where(Speaker.id == turn.speaker_id))).one()
        turns.append(
            SpokenTurn(turn.sequence_number, speaker.name, speaker.company_side, turn.start_ms, turn.end_ms, turn.text)
        )
    people = await session.scalars(
        select(Speaker).where(Speaker.call_id == call.id, Speaker.company_side == "prospect")
    )
    present = frozenset(person.email or person.name for person in people)
    return tool.HeldCall(call.id, call.title, call.call_type, call.scheduled_at.astimezone(UTC), present, tuple(turns))
