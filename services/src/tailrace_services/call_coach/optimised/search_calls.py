"""``search_calls`` from one row a call, in bounded work however many fit. Touches: the database.

A page is found in one of two ways. *Walking* reads rows in the page's order by that order's index and keeps those that
fit: good if many do, whatever the depth, because a cursor is a place in the index. *Looking up* finds all that fit by
the index of words: good if few do. Statistics tell how often a word occurs, but not that it occurs in other products
than the one asked for, or behind the titles walked first. So with words a first statement walks, at most some thousand
rows, until it has seen as many that fit as the page needs; if it does not, the page is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, and_, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from tailrace.core.cursor import Cursors, Position
from tailrace.db import Database, Page, PageRequest
from tailrace.db.keyset import page_statement
from tailrace.db.totals import fetch_total
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import (
    RANKED,
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

STEPS = 5_000
"""Rows that are walked before a page is looked up, some 7 ms; more for pages that need more."""
STEPS_PER_ROW = 20

CUSTOM_PLANS = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
"""How often a word occurs decides the plan, so none is made for all words."""
WALK = text("SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_bitmapscan', 'enable_seqscan']) AS name")
LOOK_UP = text(
    "SELECT set_config(name, 'off', true) "
    "FROM unnest(ARRAY['enable_indexscan', 'enable_indexonlyscan', 'enable_seqscan']) AS name"
)
AS_BEFORE = text(
    "SELECT set_config(name, 'on', true) FROM unnest(ARRAY["
    "'enable_indexscan', 'enable_indexonlyscan', 'enable_bitmapscan', 'enable_seqscan']) AS name"
)

SERVED: Mapping[str, frozenset[str]] = {
    "-scheduled_at": frozenset({"scheduled_at", "product", "call_type"}),
    "scheduled_at": frozenset({"scheduled_at", "product", "call_type"}),
    "product": frozenset({"product"}),
    "-product": frozenset({"product"}),
    "score": frozenset({"score"}),
    "-score": frozenset({"score"}),
    "relevance": frozenset({"scheduled_at", "product", "call_type"}),
}
"""Order -> what its walk need not look at row by row, because an index in that order begins with it."""

NAMES = text("""
SELECT call_id, email, min(name) AS name FROM speakers
WHERE call_id = ANY (CAST(:call_ids AS bigint[])) AND company_side = 'rep' AND email IS NOT NULL
GROUP BY call_id, email ORDER BY call_id, email
""")
MOMENTS = text(f"""
SELECT found.call_id, m.*, s.name AS speaker
FROM unnest(CAST(:call_ids AS bigint[])) AS found (call_id)
CROSS JOIN LATERAL ({pages.MOMENTS_OF.format(call="found.call_id")}) m
JOIN speakers s ON s.id = m.speaker_id
""")  # noqa: S608 - constants

COLUMNS = [column for column in CALL_SEARCH.c if column.name not in ("reps", "document")]


async def search_calls(database: Database, cursors: Cursors, question: SearchCalls) -> FoundCalls:
    """The page.

    Raises:
        RequestError: there is no such page (400), or nothing to look for (422).
        DatabaseError: one of its kinds.

    Cost: 3 round trips without words, 7 with; one more for a total.
    """

    async def work(session: AsyncSession) -> FoundCalls:
        return await _Search(session, cursors, question).page()

    return await database.run(work)


class _Search:
    """One search in one transaction, which ends its settings."""

    def __init__(self, session: AsyncSession, cursors: Cursors, question: SearchCalls) -> None:
        self._session = session
        self._cursors = cursors
        self._question = question

    async def page(self) -> FoundCalls:
        """What is answered."""
        asked = self._question
        await self._session.execute(CUSTOM_PLANS)
        words = await self._words()
        conditions = pages.conditions(asked, CALL_SEARCH, words)
        fitting = select(*COLUMNS).where(*conditions.values())
        if asked.sort == "relevance" and words is not None:
            rows = pages.ranked(fitting.add_columns(CALL_SEARCH.c.document), words)
            fitting = select(*[rows.c[column.name] for column in COLUMNS])
            request = pages.page(asked, rows, self._cursors)
        else:
            request = pages.page(asked, CALL_SEARCH, self._cursors)
        total = await fetch_total(self._session, fitting, request.total, cap=request.cap)
        if words is not None:
            await self._choose_way(request, conditions)
        found: Page[Row[Any]] = await replace(request, total="none").fetch(self._session, fitting)
        items = await self._described(found.items, words)
        return FoundCalls(
            items,
            total.rows,
            total.meaning,
            found.has_next,
            found.has_previous,
            found.next_cursor,
            found.previous_cursor,
        )

    async def _words(self) -> Words | None:
        asked = self._question
        if asked.text is None and not asked.topics:
            return None
        parts = await self._session.execute(pages.PARSE, {"text": asked.text, "topics": list(asked.topics)})
        return words_of((row.query, row.indexable, row.lexemes) for row in parts)

    async def _choose_way(self, request: PageRequest, conditions: Mapping[str, ColumnElement[bool]]) -> None:
        """Let the page's statement be walked if that is known to end soon, else looked up."""
        by_relevance = request.sort == "relevance"
        needed = RANKED if by_relevance else request.limit + 1 + (request.offset or 0)
        served = SERVED.get(request.sort, frozenset())
        tested = [condition for name, condition in conditions.items() if name not in served]
        walked: Any = page_statement(
            select(and_(*tested).label("fits")).where(*[conditions[name] for name in conditions if name in served]),
            pages.order(CALL_SEARCH, "-scheduled_at") if by_relevance else request.order,
            Position() if by_relevance else request.position,
            max(STEPS, STEPS_PER_ROW * needed),
        )
        steps = walked.subquery()
        seen = select(literal(1)).where(steps.c.fits).limit(needed).subquery()
        enough = await self._session.scalar(select(func.count()).select_from(seen)) == needed
        await self._session.execute(WALK if enough else LOOK_UP)

    async def _described(self, rows: Sequence[Row[Any]], words: Words | None) -> tuple[FoundCall, ...]:
        """The calls of the page with what is shown of them."""
        ids = [row.call_id for row in rows]
        reps: dict[int, list[Representative]] = {call_id: [] for call_id in ids}
        moments: dict[int, list[Moment]] = {call_id: [] for call_id in ids}
        relevance: dict[int, Any] = {}
        if ids and words is not None:
            await self._session.execute(AS_BEFORE)
            score = pages.relevance(CALL_SEARCH.c.document, words)
            found = select(CALL_SEARCH.c.call_id, score.label("relevance")).where(CALL_SEARCH.c.call_id.in_(ids))
            relevance = {row.call_id: row.relevance for row in await self._session.execute(found)}
            for row in await self._session.execute(MOMENTS, {"call_ids": ids, "any": words.any}):
                moment = Moment(row.sequence_number, row.start_ms, row.end_ms, row.speaker, highlighted(row.headline))
                moments[row.call_id].append(moment)
        if ids:
            for row in await self._session.execute(NAMES, {"call_ids": ids}):
                reps[row.call_id].append(Representative(row.email, row.name))
        return tuple(
            FoundCall(
                call_id=row.call_id,
                title=row.title,
                product=row.product,
                call_type=row.call_type,
                scheduled_at=row.scheduled_at,
                duration_seconds=row.duration_seconds,
                score=row.score,
                reps=tuple(reps[row.call_id]),
                relevance=relevance.get(row.call_id),
                moments=tuple(moments[row.call_id]),
            )
            for row in rows
        )
