"""``search_calls`` from one row a call, in bounded work however many fit. Touches: the database.

A page is found in one of two ways. *Walking* reads rows in the page's order by that order's index and keeps those that
fit: good if many do, whatever the depth, because a cursor is a place in the index. *Looking up* finds all that fit by
the index of words: good if few do. Statistics tell how often a word occurs, but not that it occurs in other products
than the one asked for, or behind the titles walked first. So where rows are tested the page's statement walks, at most
some thousand rows, until it has as many that fit as the page needs; where it does not find them, it looks them up.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    Executable,
    FromClause,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    select,
    text,
    true,
    union_all,
)
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

Rows = Select[*tuple[Any, ...]]

STEPS = 5_000
"""Rows that are walked before a page is looked up, some 7 ms; more for pages that need more."""
STEPS_PER_ROW = 40
"""Of a million calls, to look up more than every fortieth takes longer than to walk that many."""

KINDS = 256
"""Kinds of searches whose statements are kept, of some thousand that can be asked for."""

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
class _Kind:
    """Searches that differ in nothing but the values of their parameters. To make statements costs more than to send
    them, so they are made once for each kind and shape of page.

    Attributes:
        conditions: as of ``search_pages``.
        sort: the order.
        pages: what may be asked for.
        fitting: all calls that fit, to be counted as the planner likes, and the same
        looked_up: planned as if all of them were read. A small cap lets the planner look for words through the whole
            table, which is good only where many calls fit.
        made: the statements, by shape: some dozens at most.
    """

    conditions: Mapping[str, ColumnElement[bool]]
    sort: Sort
    pages: Pages
    fitting: Rows
    looked_up: Rows
    made: dict[Hashable, Executable] = field(default_factory=dict)

    def statement(self, request: PageRequest) -> Executable:
        """That of a page of this shape. Its rows say ``walked``: whether they were found by walking."""
        if request.shape not in self.made:
            self.made[request.shape] = self._statement(request)
        return self.made[request.shape]

    def _statement(self, request: PageRequest) -> Executable:
        served = SERVED.get(self.sort, frozenset())
        if "product" in self.conditions:
            served -= {"call_type"}  # an index serves one of them
        tested = [condition for name, condition in self.conditions.items() if name not in served]
        if not tested:
            statement: Executable = request.statement(
                select(*COLUMNS, true().label("walked")).where(*self.conditions.values())
            )
            return statement
        within = [condition for name, condition in self.conditions.items() if name in served]
        if self.sort == "relevance":
            newest = _first("-scheduled_at", Position(), within, tested, CALL_SEARCH.c.document)
            rows: FromClause = pages.ranked(select(*newest.c))
        else:
            rows = _first(self.sort, request.position, within, tested)
        shown = select(*[rows.c[column.name] for column in COLUMNS], rows.c.walked)
        there: Executable = replace(request, order=pages.order(rows, self.sort)).statement(shown)
        return there


def _first(
    sort: Sort,
    position: Position,
    within: Sequence[ColumnElement[bool]],
    tested: Sequence[ColumnElement[bool]],
    *more: ColumnElement[Any],
) -> CTE:
    """The first ``:needed`` calls that fit, behind a position in an order: walked, or else looked up.

    Looking up is left out where walking finds enough. What is looked up stands behind ``OFFSET 0``: from outside of it
    no order gets in, so the planner does not walk there.
    """
    needed, steps = (bindparam(name, type_=Integer()) for name in ("needed", "steps"))
    seen = select(*COLUMNS, *more, and_(*tested).label("fits")).where(*within)
    walk: Any = page_statement(seen, pages.order(CALL_SEARCH, sort), position, steps)
    steps_made = walk.subquery("steps")
    own = [column.name for column in (*COLUMNS, *more)]
    walked = select(*[steps_made.c[name] for name in own]).where(steps_made.c.fits).limit(needed).cte("walked")
    fitting = select(*COLUMNS, *more).where(*within, *tested).offset(literal_column("0")).subquery("fitting")
    look_up: Any = page_statement(select(*fitting.c), pages.order(fitting, sort), position, needed)
    looked_up = look_up.subquery("looked_up")
    found = select(func.count()).select_from(walked).scalar_subquery()
    return union_all(
        select(*walked.c, true().label("walked")).where(found >= needed),
        select(*[looked_up.c[name] for name in own], false().label("walked")).where(found < needed),
    ).cte("first")


@lru_cache(maxsize=KINDS)
def _kind(given: frozenset[str], sort: Sort) -> _Kind:
    """The searches with these parameters, in that order."""
    conditions = pages.conditions(given, CALL_SEARCH)
    fitting = select(CALL_SEARCH.c.call_id).where(*conditions.values())
    looked_up = select(fitting.cte("fitting").prefix_with("MATERIALIZED"))
    if sort != "relevance":
        return _Kind(conditions, sort, pages.pages_of(CALL_SEARCH, sort), fitting, looked_up)
    ranked = pages.ranked(select(*COLUMNS, CALL_SEARCH.c.document))
    fitting, looked_up = (
        select(each.limit(literal_column(str(RANKED))).subquery("ranked")) for each in (fitting, looked_up)
    )
    return _Kind(conditions, sort, pages.pages_of(ranked, sort), fitting, looked_up)


def _bounds(request: PageRequest) -> dict[str, int]:
    """How many rows that fit a page needs, and how many it walks for them."""
    needed = RANKED if request.sort == "relevance" else request.limit + 1 + (request.offset or 0)
    return {"needed": needed, "steps": max(STEPS, STEPS_PER_ROW * needed)}


async def search_calls(database: Database, cursors: Cursors, question: SearchCalls) -> FoundCalls:
    """The page. Each statement stands for itself, so that one that meets a broken connection is repeated alone.

    Raises:
        RequestError: there is no such page (400), or nothing to look for (422).
        DatabaseError: one of its kinds.

    Cost: 2 round trips, 3 with words; one or two more for a total.
    """
    words = await _words(database, question)
    given = pages.parameters(question, words)
    kind = _kind(frozenset(given), question.sort)
    request = pages.page(question, kind.pages, cursors)
    found: Page[Row[Any]] = await replace(request, total="none").fetch(
        database, kind.fitting, prepared=kind.statement(request), parameters={**given, **_bounds(request)}
    )
    counted = kind.fitting if found.items and found.items[0].walked else kind.looked_up
    total = await fetch_total(database, counted, request.total, cap=request.cap, parameters=given)
    return FoundCalls(
        await _described(database, found.items, words),
        total.rows,
        total.meaning,
        found.has_next,
        found.has_previous,
        found.next_cursor,
        found.previous_cursor,
    )


async def _words(database: Database, question: SearchCalls) -> Words | None:
    if question.text is None and not question.topics:
        return None
    parts = await database.fetch(pages.PARSE, {"text": question.text, "topics": list(question.topics)})
    return words_of((row.query, row.indexable, row.lexemes) for row in parts)


async def _described(database: Database, rows: Sequence[Row[Any]], words: Words | None) -> tuple[FoundCall, ...]:
    """The calls of the page with what is shown of them; one that was deleted in between is left out."""
    if not rows:
        return ()
    asked: dict[str, Any] = {"call_ids": [row.call_id for row in rows]}
    if words is None:
        described = await database.fetch(DESCRIBED, asked)
    else:
        described = await database.fetch(DESCRIBED_WITH_MOMENTS, {**asked, "every": words.every, "any": words.any})
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
