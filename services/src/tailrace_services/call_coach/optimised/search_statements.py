"""The statements that find a page of calls. Pure.

A page is found in one of two ways. *Walking* reads rows in the page's order by that order's index and keeps those that
fit: good if many do, whatever the depth, because a cursor is a place in the index. *Looking up* finds all that fit by
the index of words: good if few do. Statistics tell how often a word occurs, but not that it occurs in other products
than the one asked for, or behind the titles walked first. So where rows are tested the page's statement walks a little,
goes on if enough of those rows fit, some thousand rows at most, and else looks the calls up: those of some weeks, or of
a span of scores or durations, first, and all of them if these do not fill the page. Whether calls say a phrase is
tested as late as possible.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Executable,
    FromClause,
    ScalarSelect,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.sql import ColumnElement

from tailrace.core.cursor import Position
from tailrace.db import PageRequest, Pages
from tailrace.db.keyset import page_statement
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.optimised.search_look_ups import (
    COLUMNS,
    Conditions,
    Rows,
    beside_words,
    met,
    number,
    tested_late,
)
from tailrace_services.call_coach.optimised.search_spans import SPANNED, in_span, span_behind
from tailrace_services.call_coach.optimised.search_window import PLENTY, in_window, same_product, window_behind
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import RANKED, Sort

__all__ = [
    "KINDS",
    "PROBES",
    "Kind",
    "bounds",
    "found_enough",
    "how_many",
    "kind_of",
    "served_by",
    "window_of",
]

Condition = ColumnElement[bool]

STEPS = 5_000
"""Rows that are walked before a page is looked up, some 7 ms; more for pages that need more."""
STEPS_PER_ROW = 40
"""Of a million calls, to look up more than every fortieth takes longer than to walk that many."""
PROBES = 10
"""One step in so many is made before it is judged whether to make the others. Along dates what fits lies evenly, so
they are made if they promise a page; in other orders it may begin late: they are made unless hardly anything fits,"""
RARE = 100
"""less than one call of so many: to look those up is cheap."""

SERVED: Mapping[str, frozenset[str]] = {
    "-scheduled_at": frozenset({"scheduled_at", "product", "call_type"}),
    "scheduled_at": frozenset({"scheduled_at", "product", "call_type"}),
    "product": frozenset({"product"}),
    "-product": frozenset({"product"}),
    "title": frozenset({"call_type"}),
    "-title": frozenset({"call_type"}),
    "score": frozenset({"score"}),
    "-score": frozenset({"score"}),
    "relevance": frozenset({"scheduled_at", "product", "call_type"}),
}
"""Order -> what its walk need not look at row by row, because an index in that order begins with it."""

WORDS = frozenset({"document", "reps"})
"""What the index of words is read by."""
UNCOUNTED = cast(null(), BigInteger).label("fitting")

KINDS = 256
"""Kinds of searches whose statements are kept, of some thousand that can be asked for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Searches that differ in nothing but the values of their parameters. To make statements costs more than to send
    them, so they are made once for each kind and shape of page.

    Attributes:
        given: which of ``search_pages.parameters`` there are, whether ``weeks`` as of ``search_window``, and whether
            ``unordered``, where phrases ``may_be_late``: the words of every phrase in whatever order.
        sort: the order.
        pages: what may be asked for.
        fitting: all calls that fit, to be counted as the planner likes.
        made: the statements, by shape: some dozens at most.
    """

    given: frozenset[str]
    sort: Sort
    pages: Pages
    fitting: Rows
    made: dict[Hashable, Executable] = field(default_factory=dict)

    def statement(self, request: PageRequest) -> Executable:
        """That of a page of this shape. Its rows say ``fitting``: how many calls fit, NULL where it has not counted."""
        key = request.shape, request.total == "none"
        if key not in self.made:
            self.made[key] = self._statement(request)
        return self.made[key]

    def _statement(self, request: PageRequest) -> Executable:
        conditions = pages.conditions(self.given, CALL_SEARCH)
        counted = request.total != "none"
        if conditions.keys() <= served_by(conditions, self.sort):
            plain: Executable = request.statement(select(*COLUMNS, UNCOUNTED).where(*conditions.values()))
            return plain
        if self.sort == "relevance":
            newest = _first(conditions, self.given, "-scheduled_at", Position(), counted=False)
            found = select(*[newest.c[column.name] for column in COLUMNS], CALL_SEARCH.c.document)
            document = CALL_SEARCH.c.call_id == newest.c.call_id
            rows: FromClause = pages.ranked(found.join_from(newest, CALL_SEARCH, document))
            fitting: ColumnElement[Any] = how_many(newest).label("fitting")
        else:
            rows = _first(conditions, self.given, self.sort, request.position, counted=counted)
            fitting = rows.c.fitting
        shown = select(*[rows.c[column.name] for column in COLUMNS], fitting)
        there: Executable = replace(request, order=pages.order(rows, self.sort)).statement(shown)
        return there


@lru_cache(maxsize=KINDS)
def kind_of(given: frozenset[str], sort: Sort) -> Kind:
    """The searches with these of ``search_pages.parameters``, in that order."""
    fitting = select(CALL_SEARCH.c.call_id).where(*pages.conditions(given, CALL_SEARCH).values())
    if sort != "relevance":
        return Kind(given, sort, pages.pages_of(CALL_SEARCH, sort), fitting)
    ranked = pages.ranked(select(*COLUMNS, CALL_SEARCH.c.document))
    fitting = select(fitting.limit(literal_column(str(RANKED))).subquery("ranked"))
    return Kind(given, sort, pages.pages_of(ranked, sort), fitting)


def bounds(request: PageRequest) -> dict[str, int]:
    """How many rows that fit a page needs, how many it walks for them, and how many of those to find out."""
    needed = RANKED if request.sort == "relevance" else request.limit + 1 + (request.offset or 0)
    steps = max(STEPS, STEPS_PER_ROW * needed)
    probe = steps // PROBES
    promising = needed // PROBES if request.sort.removeprefix("-") in ("scheduled_at", "relevance") else probe // RARE
    return {"needed": needed, "steps": steps, "probe": probe, "promising": max(1, promising)}


def _first(conditions: Conditions, given: Collection[str], sort: Sort, position: Position, *, counted: bool) -> CTE:
    """The first ``:needed`` calls that fit, behind a position in an order: walked, or else looked up, in the order of
    dates first in the weeks in which so many are likely to be, in that of products about the first of them, in those of
    scores and durations among an eighth of all calls.

    What is looked up stands behind ``OFFSET 0``: from outside of it no order gets in, so the planner
    does not walk there.

    Args:
        conditions: as of ``search_pages``.
        given: as of ``Kind``.
        counted: whether the calls are counted that were looked up; the column ``fitting`` says how many.
    """
    needed = number("needed")
    order, own = pages.order(CALL_SEARCH, sort), [column.name for column in COLUMNS]
    served = served_by(conditions, sort)
    within = [condition for column, condition in conditions.items() if column in served]
    tested = [condition for column, condition in conditions.items() if column not in served]
    seen = select(*COLUMNS, and_(*tested).label("fits")).where(*within)
    walk: Any = page_statement(seen, order, position, number("steps"))
    steps: CTE = walk.cte("steps").prefix_with("MATERIALIZED")
    walked = select(*[steps.c[name] for name in own]).where(steps.c.fits).limit(needed).cte("walked")

    def first_of(fitting: CTE) -> Any:
        return page_statement(select(*fitting.c), pages.order(fitting, sort), position, needed)

    indexed = [*conditions.values(), *beside_words(given)]
    count: ColumnElement[Any] = UNCOUNTED
    if "unordered" in given:
        looked_up = tested_late(conditions, given, sort, position)
    else:
        fitting = met(select(*COLUMNS), conditions, given).cte("fitting")
        looked_up = first_of(fitting).subquery("looked_up")
        count = how_many(fitting).label("fitting") if counted else UNCOUNTED
    ways = [(walked, found_enough(steps, walked))]
    window = window_of(conditions, sort, steps, backward=position.backward)
    if window is not None:
        within_it = select(*COLUMNS).where(*indexed, window).offset(literal_column("0")).cte("within_it")
        nearest = first_of(within_it).cte("nearest").prefix_with("MATERIALIZED")
        ways.append((nearest, how_many(nearest) >= needed))
    chosen = case(*[(enough, at) for at, (_, enough) in enumerate(ways)], else_=len(ways))
    verdict = select(chosen.label("way")).cte("verdict").prefix_with("MATERIALIZED")
    way = select(verdict.c.way).scalar_subquery()
    return union_all(
        *[select(*[rows.c[name] for name in own], UNCOUNTED).where(way == at) for at, (rows, _) in enumerate(ways)],
        select(*[looked_up.c[name] for name in own], count).where(way == len(ways)),
    ).cte("first")


def window_of(
    conditions: Conditions, sort: Sort, steps: CTE, *, backward: bool = False, plenty: int = PLENTY
) -> Condition | None:
    """Where calls are looked up before all are: a beginning of those behind the position; None if none is known."""
    name, by_words = sort.removeprefix("-"), bool(WORDS & conditions.keys())
    probe = select(steps).limit(number("probe")).subquery("beginning")
    if name == "scheduled_at" and by_words:
        descending = sort.startswith("-") != backward
        return in_window(window_behind(probe, number("needed"), descending=descending, plenty=plenty))
    if name == "product" and "product" not in conditions:
        return same_product(probe, beside_words=by_words)
    if name in SPANNED and by_words:
        column = SPANNED[name]
        return in_span(column, span_behind(column, probe, descending=sort.startswith("-") != backward))
    return None


def found_enough(steps: CTE, walked: CTE) -> ColumnElement[bool]:
    """Whether walking gives the page: all that it needs, or all there is.

    A ``CASE`` is evaluated in the order in which it is written, and steps are made as far as they are asked for.
    """
    needed = number("needed")
    probe = select(steps.c.fits).limit(number("probe")).subquery("probe")
    tried = select(func.count()).select_from(probe).scalar_subquery()
    fitting = select(probe.c.fits).where(probe.c.fits).limit(needed).subquery("promise")
    fit = select(func.count()).select_from(fitting).scalar_subquery()
    return case(
        (fit >= needed, true()),
        (tried < number("probe"), true()),
        (fit < number("promising"), false()),
        (how_many(walked) >= needed, true()),
        else_=how_many(steps) < number("steps"),
    )


def served_by(conditions: Conditions, sort: Sort) -> frozenset[str]:
    """The columns that the order's index serves: of a call either its product or its type."""
    served = SERVED.get(sort, frozenset())
    return served - {"call_type"} if "product" in conditions and "product" in served else served


def how_many(rows: CTE) -> ScalarSelect[int]:
    """Their number."""
    return select(func.count()).select_from(rows).scalar_subquery()
