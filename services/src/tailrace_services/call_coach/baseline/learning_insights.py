"""``get_learning_insights`` as it was: live averages of everybody, and every call measured anew, turn by turn. Touches:
the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace_services.call_coach.analyst import Metrics, measure
from tailrace_services.call_coach.analyst.analysis import Evidence
from tailrace_services.call_coach.baseline.analyze_call import conversation
from tailrace_services.call_coach.baseline.rep_insights import within
from tailrace_services.call_coach.model import Call, CoachingSession, Rep, Speaker, Turn
from tailrace_services.call_coach.tools import learning_insights as tool
from tailrace_services.call_coach.tools.period import Period, latest
from tailrace_services.call_coach.tools.rep_insights import Marks, RepName, prevailing, rep_not_found

__all__ = ["learning_insights"]


async def learning_insights(
    session: AsyncSession, question: tool.GetLearningInsights, now: datetime
) -> tool.LearningInsights:
    """Everything from the raw rows, one statement after another."""
    rep = await session.scalar(select(Rep).where(Rep.email == question.rep_email))
    if rep is None:
        raise rep_not_found(question.rep_email)
    period = question.period or latest(now)
    rubric = await _rubric(session, rep.id, question, period)
    own = Marks()
    top: Sequence[tool.TopPerformer] = ()
    sessions: dict[int | None, Sequence[tool.Session]] = {}
    if rubric is not None:
        everybody = [
            (each.id, each.email, each.name, await _marks(session, each.id, question.focus_area, rubric, period))
            for each in (await session.scalars(select(Rep))).all()
        ]
        own = next(marks for rep_id, _, _, marks in everybody if rep_id == rep.id)
        top = tool.top_performers([each for each in everybody if each[0] != rep.id])
        sessions[None] = await _sessions(session, rep.id, question.focus_area, rubric, period)
        for performer in top:
            sessions[performer.id] = await _sessions(session, performer.id, question.focus_area, rubric, period)
    chosen = tool.sample(RepName(rep.email, rep.name, rep.team), period, rubric, own, top, sessions)
    metrics = {call_id: await _metrics(session, call_id) for call_id in chosen.calls}
    segments = [await _segment(session, each) for each in chosen.chosen]
    return tool.learning_insights(question, chosen, metrics, segments)


async def _rubric(session: AsyncSession, rep_id: int, question: tool.GetLearningInsights, period: Period) -> str | None:
    statement = (
        select(CoachingSession.rubric_version, func.count().label("sessions"))
        .where(CoachingSession.rep_id == rep_id, within(period))
        .group_by(CoachingSession.rubric_version)
    )
    if question.rubric_version is not None:
        return question.rubric_version
    return prevailing({row.rubric_version: row.sessions for row in await session.execute(statement)})


async def _marks(session: AsyncSession, rep_id: int, dimension: str, rubric: str, period: Period) -> Marks:
    statement = select(func.count(), func.sum(CoachingSession.score)).where(
        CoachingSession.rep_id == rep_id,
        CoachingSession.dimension == dimension,
        CoachingSession.rubric_version == rubric,
        within(period),
    )
    count, points = (await session.execute(statement)).one()
    return Marks(count, points or 0)


async def _sessions(
    session: AsyncSession, rep_id: int, dimension: str, rubric: str, period: Period
) -> list[tool.Session]:
    """The newest first."""
    statement = (
        select(CoachingSession)
        .where(
            CoachingSession.rep_id == rep_id,
            CoachingSession.dimension == dimension,
            CoachingSession.rubric_version == rubric,
            within(period),
        )
        .order_by(CoachingSession.created_at.desc(), CoachingSession.id.desc())
        .limit(tool.HEARD_SESSIONS)
    )
    return [
        tool.Session(each.id, each.call_id, each.score, each.evidence != [])
        for each in await session.scalars(statement)
    ]


async def _metrics(session: AsyncSession, call_id: int) -> Metrics:
    return measure(await conversation(session, call_id))


async def _segment(session: AsyncSession, chosen: tool.Chosen) -> tool.Segment:
    coached = (await session.scalars(select(CoachingSession).where(CoachingSession.id == chosen.session_id))).one()
    call = (await session.scalars(select(Call).where(Call.id == chosen.call_id))).one()
    evidence = Evidence(**coached.evidence[0])
    turns = []
    around = range(evidence.sequence_number - 1, evidence.sequence_number + 2)
    for turn in await session.scalars(
        select(Turn)
        .where(Turn.call_id == call.id, Turn.sequence_number.in_(around))
        .order_by(Turn.sequence_number, Turn.id)
    ):
        speaker = (await session.scalars(select(Speaker).where(Speaker.id == turn.speaker_id))).one()
        turns.append(
            tool.SegmentTurn(
                *(turn.sequence_number, speaker.name, speaker.company_side),
                *(turn.start_ms, turn.end_ms, turn.text),
            )
        )
    performer = chosen.rep
    return tool.Segment(
        call.id,
        call.title,
        call.scheduled_at.astimezone(UTC),
        performer.email,
        performer.name,
        chosen.score,
        evidence,
        tuple(turns),
    )
