"""Analytics, as it was. Touches: the database, with one statement after another for each chart and each agent."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.schemas import (
    AgentOutcome,
    Analytics,
    CallsOnDay,
    Dataset,
    HourOutcome,
    LeadQuality,
    LeadsOnDay,
)
from tailrace_services.voice_dashboard.api.windows import Span, calendar_days
from tailrace_services.voice_dashboard.baseline.overview import within
from tailrace_services.voice_dashboard.model import Agent, Call, LeadAnalytics

__all__ = ["agent_totals", "calculate_analytics"]

SUCCESSFUL = func.count(case((Call.status == "completed", 1)))
UTC_TIME = func.timezone("UTC", Call.created_at)


async def calculate_analytics(session: AsyncSession, user_id: int, days: int, now: datetime) -> Analytics:
    """Analytics of ``user_id`` at ``now``."""
    span = calendar_days(now, days)
    return Analytics(
        days=days,
        first_day=span.first_day,
        last_day=span.last_day,
        calculated_at=now,
        partial=False,
        partial_datasets=[],
        calls_per_day=Dataset(data=await _calls_per_day(session, user_id, span)),
        leads_per_day=Dataset(data=await _leads_per_day(session, user_id, span)),
        lead_quality=Dataset(data=await _lead_quality(session, user_id, span)),
        success_by_hour=Dataset(data=await _success_by_hour(session, user_id, span)),
        agent_comparison=Dataset(data=await _agent_comparison(session, user_id, span)),
    )


async def _calls_per_day(session: AsyncSession, user_id: int, span: Span) -> list[CallsOnDay]:
    day = func.date(UTC_TIME)
    statement = (
        select(day, func.count(Call.id), SUCCESSFUL, func.sum(Call.duration_minutes), func.sum(Call.credits_used))
        .where(Call.user_id == user_id, within(span))
        .group_by(day)
        .order_by(day)
    )
    rows = (await session.execute(statement)).all()
    chart = []
    for wanted in span.days():
        totals = figures.AgentTotals()
        for found, calls, successful, minutes, spent in rows:
            if found == wanted:
                totals = figures.AgentTotals(calls, successful, minutes, spent)
        chart.append(figures.calls_on_day(wanted, totals))
    return chart


async def _leads_per_day(session: AsyncSession, user_id: int, span: Span) -> list[LeadsOnDay]:
    day, score = func.date(UTC_TIME), LeadAnalytics.total_score
    statement = (
        select(
            day,
            func.count(case((score >= figures.HOT_FROM, 1))),
            func.count(case(((score >= figures.COLD_BELOW) & (score < figures.HOT_FROM), 1))),
            func.count(case((score < figures.COLD_BELOW, 1))),
            func.sum(score),
        )
        .join(Call, Call.id == LeadAnalytics.call_id)
        .where(Call.user_id == user_id, within(span))
        .group_by(day)
        .order_by(day)
    )
    rows = (await session.execute(statement)).all()
    chart = []
    for wanted in span.days():
        totals = figures.LeadTotals()
        for found, hot, warm, cold, score_sum in rows:
            if found == wanted:
                totals = figures.LeadTotals(hot, warm, cold, score_sum)
        chart.append(figures.leads_on_day(wanted, totals))
    return chart


async def _lead_quality(session: AsyncSession, user_id: int, span: Span) -> LeadQuality:
    score = LeadAnalytics.total_score
    quality = case((score >= figures.HOT_FROM, "hot"), (score >= figures.COLD_BELOW, "warm"), else_="cold")
    statement = (
        select(
            func.count(case((quality == "hot", 1))),
            func.count(case((quality == "warm", 1))),
            func.count(case((quality == "cold", 1))),
        )
        .join(Call, Call.id == LeadAnalytics.call_id)
        .where(Call.user_id == user_id, within(span))
    )
    hot, warm, cold = (await session.execute(statement)).one()
    return LeadQuality(hot=hot, warm=warm, cold=cold)


async def _success_by_hour(session: AsyncSession, user_id: int, span: Span) -> list[HourOutcome]:
    hour = extract("hour", UTC_TIME)
    statement = (
        select(hour, func.count(Call.id), SUCCESSFUL).where(Call.user_id == user_id, within(span)).group_by(hour)
    )
    found = {int(which): (calls, successful) for which, calls, successful in (await session.execute(statement)).all()}
    return [figures.hour_outcome(which, figures.AgentTotals(*found.get(which, (0, 0)))) for which in range(24)]


async def _agent_comparison(session: AsyncSession, user_id: int, span: Span) -> list[AgentOutcome]:
    statement = select(Agent).where(Agent.user_id == user_id, Agent.is_active)
    agents = (await session.execute(statement)).scalars().all()
    outcomes = [
        figures.agent_outcome(agent.id, agent.name, await agent_totals(session, agent.id, span)) for agent in agents
    ]
    return sorted(outcomes, key=lambda outcome: (-outcome.calls, outcome.agent_id))


async def agent_totals(session: AsyncSession, agent_id: int, span: Span) -> figures.AgentTotals:
    """What one agent did in ``span``: the statement that ran once for each agent."""
    statement = select(
        func.count(Call.id), SUCCESSFUL, func.sum(Call.duration_minutes), func.sum(Call.credits_used)
    ).where(Call.agent_id == agent_id, within(span))
    calls, successful, minutes, spent = (await session.execute(statement)).one()
    return figures.AgentTotals(calls, successful, minutes or figures.ZERO, spent or figures.ZERO)
