"""``search_calls`` from one row a call, in bounded work however many fit. Touches: the database.

A page is found in one of two ways. *Walking* reads rows in the page's order by that order's index and keeps those that
fit: good if many do, whatever the depth, because a cursor is a place in the index. *Looking up* finds all that fit by
the index of words: good if few do. Statistics tell how often a word occurs, but not that it occurs in other products
than the one asked for, or behind the titles walked first. So with words a first statement walks, at most some thousand
rows, until it has seen as many that fit as the page needs; if it does not, the page is looked up.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Executable, Integer, Row, Select, and_, bindparam, case, func, literal, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql import ColumnElement

from tailrace.core.cursor import Cursors, Position
from tailrace.db import Database, Page, PageRequest, Pages
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
    Sort,
    Words,
    highlighted,
    words_of,
)

__all__ = ["search_calls"]

STEPS = 5_000
"""Rows that are walked before a page is looked up, some 7 ms; more for pages that need more."""
STEPS_PER_ROW = 40
"""Of a million calls, to look up more than every fortieth takes longer than to walk that many."""

KINDS = 256
"""Kinds of searches whose statements are kept, of some thousand that can be asked for."""

CUSTOM_PLANS = text("SELECT set_config('plan_cache_mode', 'force_custom_plan', true)")
"""How often something occurs decides the plan, so none is made for everything."""
WALKS = ("enable_indexscan", "enable_indexonlyscan")
LOOKS_UP = ("enable_bitmapscan", "enable_sort", "enable_incremental_sort")
"""What the planner does to walk, and to look up. If it may sort, it walks the index of a filter instead of the order's,
to its end."""

COUNTED = text("""
SELECT set_config('enable_bitmapscan', 'on', true),
       set_config('enable_seqscan', current_setting('enable_indexscan'), true)
""")
"""After a page: if many calls fit, they are counted as the planner likes, else looked up: it might walk in vain."""

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

_REPS = """
  (SELECT json_agg(json_build_array(email, name) ORDER BY email)
   FROM (SELECT email, min(name) AS name FROM speakers
         WHERE call_id = r.call_id AND company_side = 'rep' AND email IS NOT NULL GROUP BY email) s)::text AS reps"""
DESCRIBED = text(f"SELECT r.call_id, {_REPS} FROM unnest(CAST(:call_ids AS bigint[])) AS r (call_id)")  # noqa: S608
DESCRIBED_WITH_MOMENTS = text(f"""
SELECT r.call_id, {_REPS}, {pages.RELEVANCE.format(document="r.document")} AS relevance,
  (SELECT json_agg(json_build_array(m.sequence_number, m.start_ms, m.end_ms, s.name, m.headline) ORDER BY m.place)
   FROM ({pages.MOMENTS_OF.format(call="r.call_id")}) m JOIN speakers s ON s.id = m.speaker_id)::text AS moments
FROM call_search r WHERE r.call_id = ANY (CAST(:call_ids AS bigint[]))
""")  # noqa: S608 - constants
"""What is shown of a page's calls beyond their rows."""

COLUMNS = [column for column in CALL_SEARCH.c if column.name not in ("reps", "document")]


@dataclass(frozen=True, slots=True)
class _Statements:
    """Of one kind of search and one shape of page: what lets the page be walked or looked up, and what reads it."""

    way: Executable | None
    page: Executable


@dataclass(frozen=True, slots=True)
class _Kind:
    """Searches that differ in nothing but the values of their parameters. To make statements costs more than to send
    them, so they are made once for each kind and shape.

    Attributes:
        conditions: as of ``search_pages``.
        fitting: all calls that fit.
        pages: what may be asked for.
        made: the statements, by shape: some dozens at most.
    """

    conditions: Mapping[str, ColumnElement[bool]]
    fitting: Select[*tuple[Any, ...]]
    pages: Pages
    made: dict[Hashable, _Statements] = field(default_factory=dict)

    def statements(self, request: PageRequest) -> _Statements:
        """Those for a page of that shape."""
        if request.shape not in self.made:
            self.made[request.shape] = _Statements(self._way(request), request.statement(self.fitting))
        return self.made[request.shape]

    def _way(self, request: PageRequest) -> Executable | None:
        """Let the page's statement be walked if that is known to end soon, else looked up."""
        served = SERVED.get(request.sort, frozenset())
        tested = [condition for name, condition in self.conditions.items() if name not in served]
        if not tested:
            return None
        by_relevance = request.sort == "relevance"
        steps_left, needed = (bindparam(name, type_=Integer()) for name in ("steps", "needed"))
        walked: Any = page_statement(
            select(and_(*tested).label("fits")).where(
                *[condition for name, condition in self.conditions.items() if name in served]
            ),
            pages.order(CALL_SEARCH, "-scheduled_at") if by_relevance else request.order,
            Position() if by_relevance else request.position,
            steps_left,
        )
        steps = walked.subquery()
        seen = select(literal(1)).where(steps.c.fits).limit(needed).subquery()
        enough = select((func.count() == needed).label("enough")).select_from(seen).subquery()
        walk, look_up = (case((enough.c.enough, on), else_=off) for on, off in (("on", "off"), ("off", "on")))
        ways = [("enable_seqscan", "off"), *((name, walk) for name in WALKS), *((name, look_up) for name in LOOKS_UP)]
        return select(*[func.set_config(name, value, true()) for name, value in ways])


@lru_cache(maxsize=KINDS)
def _kind(given: frozenset[str], sort: Sort) -> _Kind:
    """The searches with these parameters, in that order."""
    conditions = pages.conditions(given, CALL_SEARCH)
    fitting = select(*COLUMNS).where(*conditions.values())
    if sort != "relevance":
        return _Kind(conditions, fitting, pages.pages_of(CALL_SEARCH, sort))
    rows = pages.ranked(fitting.add_columns(CALL_SEARCH.c.document))
    return _Kind(conditions, select(*[rows.c[column.name] for column in COLUMNS]), pages.pages_of(rows, sort))


def _bounds(request: PageRequest) -> dict[str, int]:
    """How many rows that fit a page needs, and how many it walks for them."""
    needed = RANKED if request.sort == "relevance" else request.limit + 1 + (request.offset or 0)
    return {"needed": needed, "steps": max(STEPS, STEPS_PER_ROW * needed)}


async def search_calls(database: Database, cursors: Cursors, question: SearchCalls) -> FoundCalls:
    """The page.

    Raises:
        RequestError: there is no such page (400), or nothing to look for (422).
        DatabaseError: one of its kinds.

    Cost: 2 round trips without filters, 4 with words, around them a transaction's two; one to three more for a total.
    """

    async def work(session: AsyncSession) -> FoundCalls:
        return await _Search(session, cursors, question).page()

    return await database.run(work, idempotent=True)  # it only reads


class _Search:
    """One search in one transaction, which ends its settings."""

    def __init__(self, session: AsyncSession, cursors: Cursors, question: SearchCalls) -> None:
        self._session = session
        self._cursors = cursors
        self._question = question

    async def page(self) -> FoundCalls:
        """What is answered."""
        asked = self._question
        words = await self._words()
        given = pages.parameters(asked, words)
        kind = _kind(frozenset(given), asked.sort)
        request = pages.page(asked, kind.pages, self._cursors)
        statements = kind.statements(request)
        if statements.way is not None:
            await self._session.execute(statements.way, {**given, **request.parameters, **_bounds(request)})
        found: Page[Row[Any]] = await replace(request, total="none").fetch(
            self._session, kind.fitting, prepared=statements.page, parameters=given
        )
        if request.total != "none" and statements.way is not None:
            await self._session.execute(COUNTED)
        total = await fetch_total(self._session, kind.fitting, request.total, cap=request.cap, parameters=given)
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
        await self._session.execute(CUSTOM_PLANS)
        if asked.text is None and not asked.topics:
            return None
        parts = await self._session.execute(pages.PARSE, {"text": asked.text, "topics": list(asked.topics)})
        return words_of((row.query, row.indexable, row.lexemes) for row in parts)

    async def _described(self, rows: Sequence[Row[Any]], words: Words | None) -> tuple[FoundCall, ...]:
        """The calls of the page with what is shown of them."""
        if not rows:
            return ()
        asked = {"call_ids": [row.call_id for row in rows]}
        if words is None:
            described = await self._session.execute(DESCRIBED, asked)
        else:
            described = await self._session.execute(
                DESCRIBED_WITH_MOMENTS, {**asked, "every": words.every, "any": words.any}
            )
        more = {each.call_id: each for each in described}
        return tuple(_found(row, more[row.call_id], words) for row in rows if row.call_id in more)


def _found(row: Row[Any], more: Row[Any], words: Words | None) -> FoundCall:
    moments = json.loads(more.moments or "[]") if words is not None else []
    return FoundCall(
        call_id=row.call_id,
        title=row.title,
        product=row.product,
        call_type=row.call_type,
        scheduled_at=row.scheduled_at,
        duration_seconds=row.duration_seconds,
        score=row.score,
        reps=tuple(Representative(*each) for each in json.loads(more.reps or "[]")),
        relevance=more.relevance if words is not None else None,
        moments=tuple(
            Moment(number, start_ms, end_ms, speaker, highlighted(headline))
            for number, start_ms, end_ms, speaker, headline in moments
        ),
    )
