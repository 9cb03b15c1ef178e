"""The overview, as it was. Touches: the database, with some twenty statements and one more for each agent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.clock import Clock
from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.schemas import (
    Activity,
    AgentCounts,
    CacheInfo,
    Overview,
    OverviewContent,
)
from tailrace_services.voice_dashboard.api.windows import Span, rolling, this_month
from tailrace_services.voice_dashboard.model import CALL_STATUSES, Agent, Call, LeadAnalytics, User

__all__ = ["RECENT", "KpiCache", "calculate_overview", "within"]

RECENT = 20
"""Calls under recent activity."""


class KpiCache:
    """The cache that never helped: its key holds the moment of the request, so no request finds what another stored.

    Every request is a miss and pays for the whole calculation, the lookup and the store.
    """

    def __init__(self, clock: Clock, size: int = 1000) -> None:
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[tuple[int, float], OverviewContent] = OrderedDict()

    async def get_or_calculate(self, session: AsyncSession, user_id: int, now: datetime) -> OverviewContent:
        """The stored overview of this very moment, else a calculated one."""
        key = (user_id, self._clock.monotonic())
        cached = self._entries.get(key)
        if cached is not None:
            return cached
        content = await calculate_content(session, user_id, now)
        self._entries[key] = content
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return content


def within(span: Span) -> ColumnElement[bool]:
    """Whether a call was made in ``span``."""
    after = Call.created_at >= span.after if span.closed else Call.created_at > span.after
    return after & (Call.created_at <= span.until)


async def calculate_overview(cache: KpiCache, session: AsyncSession, user_id: int, now: datetime) -> Overview:
    """The overview of ``user_id`` at ``now``."""
    content = await cache.get_or_calculate(session, user_id, now)
    info = CacheInfo(status="miss", age=0.0, expires=0.0, calculated_at=now, stale=False)
    return Overview(**{name: getattr(content, name) for name in OverviewContent.model_fields}, cache_info=info)


async def calculate_content(session: AsyncSession, user_id: int, now: datetime) -> OverviewContent:
    """Everything from the raw rows, one statement after another."""
    user = (await session.execute(select(User).where(User.id == user_id))).scalar_one()
    agents = (await session.execute(select(Agent).where(Agent.user_id == user_id))).scalars().all()
    calls = await _call_totals(session, user_id, agents, rolling(now))
    leads = await _lead_totals(session, user_id, rolling(now))
    used = await session.scalar(
        select(func.coalesce(func.sum(Call.credits_used), 0)).where(Call.user_id == user_id, within(this_month(now)))
    )
    shown = [agent for agent in agents if agent.is_active]
    return OverviewContent(
        kpis=figures.kpis(calls, leads),
        credits=figures.credit_figures(user.credits, used or figures.ZERO),
        agents=AgentCounts(
            total=len(shown),
            active=len([agent for agent in shown if agent.status == "active"]),
            draft=len([agent for agent in shown if agent.status == "draft"]),
        ),
        conversations=figures.conversations(calls),
        leads=figures.lead_counts(leads),
        recent_activity=await _recent_activity(session, user_id, now),
    )


async def _call_totals(session: AsyncSession, user_id: int, agents: Sequence[Agent], span: Span) -> figures.CallTotals:
    counts: dict[str, int] = {}
    for status in CALL_STATUSES:
        counted = select(func.count(Call.id)).where(Call.user_id == user_id, Call.status == status, within(span))
        counts[status] = await session.scalar(counted) or 0
    minutes, spent = figures.ZERO, figures.ZERO
    for agent in agents:
        sums = select(func.sum(Call.duration_minutes), func.sum(Call.credits_used)).where(
            Call.agent_id == agent.id, within(span)
        )
        agent_minutes, agent_spent = (await session.execute(sums)).one()
        minutes += agent_minutes or 0
        spent += agent_spent or 0
    return figures.CallTotals(**counts, minutes=minutes, credits=spent)


async def _lead_totals(session: AsyncSession, user_id: int, span: Span) -> figures.LeadTotals:
    score = LeadAnalytics.total_score

    async def count(*which: ColumnElement[bool]) -> int:
        counted = (
            select(func.count(LeadAnalytics.id))
            .join(Call, Call.id == LeadAnalytics.call_id)
            .where(Call.user_id == user_id, within(span), *which)
        )
        return await session.scalar(counted) or 0

    score_sum = await session.scalar(
        select(func.sum(score))
        .join(Call, Call.id == LeadAnalytics.call_id)
        .where(Call.user_id == user_id, within(span))
    )
    return figures.LeadTotals(
        hot=await count(score >= figures.HOT_FROM),
        warm=await count(score >= figures.COLD_BELOW, score < figures.HOT_FROM),
        cold=await count(score < figures.COLD_BELOW),
        score_sum=score_sum or 0,
    )


async def _recent_activity(session: AsyncSession, user_id: int, now: datetime) -> list[Activity]:
    newest_lead = (
        select(LeadAnalytics.call_id, func.max(LeadAnalytics.id).label("id")).group_by(LeadAnalytics.call_id).subquery()
    )
    statement = (
        select(Call, Agent.name, LeadAnalytics.total_score)
        .join(Agent, Agent.id == Call.agent_id)
        .outerjoin(newest_lead, newest_lead.c.call_id == Call.id)
        .outerjoin(LeadAnalytics, LeadAnalytics.id == newest_lead.c.id)
        .where(Call.user_id == user_id, Call.created_at <= now)
        .order_by(Call.created_at.desc(), Call.id.desc())
        .limit(RECENT)
    )
    return [
        Activity(
            call_id=call.id,
            agent_id=call.agent_id,
            agent_name=name,
            status=call.status,  # type: ignore[arg-type]  # a check constraint allows nothing else
            duration_minutes=float(call.duration_minutes),
            credits_used=float(call.credits_used),
            lead_score=score,
            created_at=call.created_at.astimezone(UTC),
        )
        for call, name, score in (await session.execute(statement)).all()
    ]
