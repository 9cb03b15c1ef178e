"""``analyze_call`` as it was: a query for each turn's speaker; whoever finds nothing stored analyses. Touches: the
database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace_services.call_coach.analyst import Analyst, Conversation
from tailrace_services.call_coach.analyst import Turn as SpokenTurn
from tailrace_services.call_coach.model import Call, CallAnalysis, CoachingSession, Rep, Speaker, Turn
from tailrace_services.call_coach.tools import analyze_call as tool

__all__ = ["analyze_call", "conversation"]

VERSION = text(f"SELECT {tool.TRANSCRIPT_VERSION}")


async def analyze_call(
    session: AsyncSession, analyst: Analyst, question: tool.AnalyzeCall, now: datetime
) -> tool.CallAnalysis:
    """The stored analysis, else a new one, which is stored unless it is degraded."""
    if await session.get(Call, question.call_id) is None:
        raise tool.call_not_found(question.call_id)
    version = await session.scalar(VERSION, {"call_id": question.call_id})
    stored = await session.scalar(
        select(CallAnalysis).where(
            CallAnalysis.call_id == question.call_id,
            CallAnalysis.rubric_version == analyst.rubric_version,
            CallAnalysis.transcript_version == version,
        )
    )
    if stored is not None and not question.force:
        analysis, now = tool.ANALYSIS.validate_python(stored.analysis), stored.analysed_at
    else:
        analysis = await analyst.analyse(await conversation(session, question.call_id))
    found = tool.CallAnalysis(question.call_id, version, now, analysis)
    if not analysis.degraded and (stored is None or question.force or not stored.is_current):
        await _store(session, found)
    return found.of(question.dimensions)


async def conversation(session: AsyncSession, call_id: int) -> Conversation:
    """The call's turns, each with its speaker, one query after the other."""
    turns = []
    for turn in await session.scalars(select(Turn).where(Turn.call_id == call_id).order_by(Turn.sequence_number)):
        speaker = (await session.scalars(select(Speaker).where(Speaker.id == turn.speaker_id))).one()
        turns.append(
            SpokenTurn(turn.sequence_number, speaker.name, speaker.company_side, turn.start_ms, turn.end_ms, turn.text)
        )
    return Conversation.of(turns)


async def _store(session: AsyncSession, found: tool.CallAnalysis) -> None:
    analysis = found.analysis
    same_rubric = (
        CallAnalysis.call_id == found.call_id,
        CallAnalysis.rubric_version == analysis.rubric_version,
    )
    await session.execute(update(CallAnalysis).where(*same_rubric).values(is_current=False))
    kept = {
        "analysis": tool.ANALYSIS.dump_python(analysis, mode="json"),
        "analysed_at": found.analysed_at,
        "is_current": True,
    }
    statement = insert(CallAnalysis).values(
        call_id=found.call_id,
        rubric_version=analysis.rubric_version,
        transcript_version=found.transcript_version,
        **kept,
    )
    key = ["call_id", "rubric_version", "transcript_version"]
    await session.execute(statement.on_conflict_do_update(index_elements=key, set_=kept))
    await session.execute(
        delete(CoachingSession).where(
            CoachingSession.call_id == found.call_id, CoachingSession.rubric_version == analysis.rubric_version
        )
    )
    rep_id = await session.scalar(
        select(Rep.id)
        .join(Speaker, Speaker.email == Rep.email)
        .where(Speaker.call_id == found.call_id, Speaker.company_side == "rep")
        .order_by(Speaker.talk_time_seconds.desc(), Speaker.id)
        .limit(1)
    )
    for dimension in analysis.dimensions:
        if rep_id is not None and dimension.score is not None:
            session.add(
                CoachingSession(
                    call_id=found.call_id,
                    rep_id=rep_id,
                    dimension=dimension.dimension,
                    score=dimension.score,
                    strengths=list(dimension.strengths),
                    improvements=list(dimension.improvements),
                    evidence=[
                        {name: getattr(each, name) for name in each.__dataclass_fields__} for each in dimension.evidence
                    ],
                    rubric_version=analysis.rubric_version,
                    created_at=found.analysed_at,
                )
            )
