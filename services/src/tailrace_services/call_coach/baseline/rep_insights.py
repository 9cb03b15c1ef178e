"""``get_rep_insights`` as it was: every session loaded, a query for each session's call, live averages of each peer.
Touches: the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace_services.call_coach.model import DIMENSIONS, Call, CoachingSession, Rep
from tailrace_services.call_coach.tools import rep_insights as tool
from tailrace_services.call_coach.tools.coaching_plan import REMARKED_SESSIONS
from tailrace_services.call_coach.tools.period import Period, latest, week_of

__all__ = ["rep_insights", "within"]


def within(period: Period) -> ColumnElement[bool]:
    """Whether a session was in the period."""
    return (CoachingSession.created_at >= period.start) & (CoachingSession.created_at < period.end)


async def rep_insights(session: AsyncSession, question: tool.GetRepInsights, now: datetime) -> tool.RepInsights:
    """Everything from the raw rows, one statement after another."""
    rep = await session.scalar(select(Rep).where(Rep.email == question.rep_email))
    if rep is None:
        raise tool.rep_not_found(question.rep_email)
    period = question.period or latest(now)
    own = await _sessions(session, rep.id, question, period)
    rubrics = Counter(each.rubric_version for each in own)
    rubric = tool.prevailing(rubrics) or question.rubric_version
    own = [each for each in own if each.rubric_version == rubric]
    facts = tool.RepFacts(
        tool.RepName(rep.email, rep.name, rep.team),
        period,
        rubric,
        _weeks(own),
        await _peers(session, rep.id, rubric, question.product, period) if rubric is not None else [],
        [(each.dimension, each.improvements) for each in own[:REMARKED_SESSIONS]],
    )
    return tool.insights(question, facts)


async def _sessions(
    session: AsyncSession, rep_id: int, question: tool.GetRepInsights, period: Period
) -> list[CoachingSession]:
    """The representative's sessions that are asked for, newest first."""
    statement = (
        select(CoachingSession)
        .where(CoachingSession.rep_id == rep_id, within(period))
        .order_by(CoachingSession.created_at.desc(), CoachingSession.id.desc())
    )
    found = []
    for each in await session.scalars(statement):
        if question.rubric_version not in (None, each.rubric_version):
            continue
        product = await session.scalar(select(Call.product).where(Call.id == each.call_id))
        if question.product in (None, product):
            found.append(each)
    return found


def _weeks(own: Sequence[CoachingSession]) -> dict[date, tuple[tool.Marks, ...]]:
    weeks: defaultdict[date, list[tool.Marks]] = defaultdict(lambda: [tool.Marks()] * len(DIMENSIONS))
    for each in own:
        week = weeks[week_of(each.created_at.astimezone(UTC).date())]
        week[DIMENSIONS.index(each.dimension)] += tool.Marks(1, each.score)
    return {week: tuple(marks) for week, marks in weeks.items()}


async def _peers(
    session: AsyncSession, rep_id: int, rubric: str, product: str | None, period: Period
) -> list[tool.Averages]:
    peers: list[tool.Averages] = []
    for peer in await session.scalars(select(Rep.id).where(Rep.id != rep_id)):
        averages = []
        for dimension in DIMENSIONS:
            statement = select(func.count(), func.sum(CoachingSession.score)).where(
                CoachingSession.rep_id == peer,
                CoachingSession.dimension == dimension,
                CoachingSession.rubric_version == rubric,
                within(period),
            )
            if product is not None:
                statement = statement.join(Call).where(Call.product == product)
            count, points = (await session.execute(statement)).one()
            averages.append(tool.Marks(count, points or 0).average)
        peers.append(averages)
    return peers
