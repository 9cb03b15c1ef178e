"""``search_calls`` as it was: all calls' words put together, scores averaged and representatives gathered, each time.

Touches: the database. A page's calls are described one by one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Numeric, Row, Select, Subquery, Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from tailrace.core.cursor import Cursors
from tailrace.db import Page
from tailrace_services.call_coach.model import Call, CoachingSession, Speaker, Turn
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import (
    FoundCall,
    FoundCalls,
    Moment,
    Representative,
    SearchCalls,
    Words,
    highlighted,
    words_of,
)

__all__ = ["search_calls"]

MOMENTS = text(pages.MOMENTS_OF.format(call=":call_id"))


async def search_calls(session: AsyncSession, cursors: Cursors, question: SearchCalls) -> FoundCalls:
    """The page."""
    words = await _words(session, question)
    rows = _rows(words)
    given = pages.parameters(question, words)
    fitting = select(rows).where(*pages.conditions(given, rows).values())
    if question.sort == "relevance" and words is not None:
        rows = pages.ranked(fitting)
        fitting = select(rows)
    request = pages.page(question, pages.pages_of(rows, question.sort), cursors)
    found: Page[Row[Any]] = await request.fetch(session, fitting, parameters=given)
    return FoundCalls(
        tuple([await _described(session, row, words) for row in found.items]),
        found.total.rows,
        found.total.meaning,
        found.has_next,
        found.has_previous,
        found.next_cursor,
        found.previous_cursor,
    )


async def _words(session: AsyncSession, question: SearchCalls) -> Words | None:
    if question.text is None and not question.topics:
        return None
    parts = await session.execute(pages.PARSE, {"text": question.text, "topics": list(question.topics)})
    return words_of((row.query, row.indexable, row.lexemes) for row in parts)


def _rows(words: Words | None) -> Subquery:
    """A row for each call with what belongs to it; its words only if they matter."""
    score = cast(func.round(func.avg(CoachingSession.score), 2), Numeric(5, 2))
    scores = select(CoachingSession.call_id, score.label("score")).group_by(CoachingSession.call_id).subquery()
    emails = func.array_agg(aggregate_order_by(Speaker.email.distinct(), Speaker.email), type_=ARRAY(Text))
    of_reps = (Speaker.company_side == "rep", Speaker.email.is_not(None))
    reps = select(Speaker.call_id, emails.label("reps")).where(*of_reps).group_by(Speaker.call_id).subquery()
    rows: Select[*tuple[object, ...]] = (
        select(
            Call.id.label("call_id"),
            *(Call.title, Call.product, Call.call_type, Call.scheduled_at, Call.duration_seconds),
            scores.c.score,
            func.coalesce(reps.c.reps, cast([], ARRAY(Text)), type_=ARRAY(Text)).label("reps"),
        )
        .outerjoin(scores, scores.c.call_id == Call.id)
        .outerjoin(reps, reps.c.call_id == Call.id)
    )
    if words is not None:
        said = select(Turn.call_id, _document().label("document")).group_by(Turn.call_id).subquery()
        document = func.coalesce(said.c.document, cast("", TSVECTOR), type_=TSVECTOR)
        rows = rows.add_columns(document.label("document")).outerjoin(said, said.c.call_id == Call.id)
    return rows.subquery(pages.ROWS)


def _document() -> ColumnElement[Any]:
    return func.tsvector_agg(aggregate_order_by(Turn.search, Turn.sequence_number, Turn.id), type_=TSVECTOR())


async def _described(session: AsyncSession, row: Row[Any], words: Words | None) -> FoundCall:
    return FoundCall(
        call_id=row.call_id,
        title=row.title,
        product=row.product,
        call_type=row.call_type,
        scheduled_at=row.scheduled_at,
        duration_seconds=row.duration_seconds,
        score=row.score,
        reps=await _representatives(session, row.call_id),
        relevance=await _relevance(session, row.call_id, words) if words else None,
        moments=await _moments(session, row.call_id, words) if words else (),
    )


async def _representatives(session: AsyncSession, call_id: int) -> tuple[Representative, ...]:
    statement = (
        select(Speaker.email, func.min(Speaker.name))
        .where(Speaker.call_id == call_id, Speaker.company_side == "rep", Speaker.email.is_not(None))
        .group_by(Speaker.email)
        .order_by(Speaker.email)
    )
    return tuple(Representative(email, name) for email, name in await session.execute(statement) if email is not None)


async def _relevance(session: AsyncSession, call_id: int, words: Words) -> Decimal | None:
    statement = select(pages.relevance(_document())).where(Turn.call_id == call_id)
    relevance: Decimal | None = await session.scalar(statement, {"every": words.every})
    return relevance


async def _moments(session: AsyncSession, call_id: int, words: Words) -> tuple[Moment, ...]:
    moments = []
    for row in await session.execute(MOMENTS, {"call_id": call_id, "any": words.any}):
        speaker = (await session.scalars(select(Speaker.name).where(Speaker.id == row.speaker_id))).one()
        moments.append(Moment(row.sequence_number, row.start_ms, row.end_ms, speaker, highlighted(row.headline)))
    return tuple(moments)
