"""How calls are looked up: by the index of words, and by what it knows besides. Pure.

The index knows which words a call has, who took part, its product, its type and its week. It does not know when in the
week a call took place, nor which word follows which: that is tested of the calls that are met there, outside of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Integer, Select, Subquery, bindparam, cast, literal_column, null, select
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY, array
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.types import Text

from tailrace.core.cursor import Position
from tailrace.db.keyset import page_statement
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH, EQUALITIES
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import Sort

__all__ = ["COLUMNS", "Conditions", "Rows", "beside_words", "may_be_late", "met", "number", "tested_late"]

Rows = Select[*tuple[Any, ...]]
Condition = ColumnElement[bool]
Conditions = Mapping[str, Condition]

COLUMNS = [column for column in CALL_SEARCH.c if column.name not in ("reps", "document")]
"""What is shown of a call's row."""


def may_be_late(given: Collection[str], sort: Sort, total: str) -> bool:
    """Whether phrases are tested as late as possible where calls are looked up: if not all are counted, and if the
    index narrows them down, since testing late takes twice as long where the words hardly ever follow each other.
    In the order of dates the weeks that are looked up first are few enough.
    """
    by_date = sort in ("scheduled_at", "-scheduled_at", "relevance")
    return total == "none" and not by_date and not {"product", "call_type", "reps", "weeks"}.isdisjoint(given)


def met(rows: Rows, conditions: Conditions, given: Collection[str]) -> Rows:
    """Those that fit, met in the index of words. The weeks of a time lead there; the time itself is tested outside of
    it, or the planner would read the entries of a whole month from the index of dates besides.
    """
    inside = {name: each for name, each in conditions.items() if name != "scheduled_at" or "weeks" not in given}
    met = rows.where(*inside.values(), *beside_words(given)).offset(literal_column("0"))
    if inside.keys() == conditions.keys():
        return met
    named = met.subquery("met")
    return select(*named.c).where(ClauseAdapter(named).traverse(conditions["scheduled_at"]))


def tested_late(conditions: Conditions, given: Collection[str], sort: Sort, position: Position) -> Subquery:
    """The first ``:needed`` of the calls that are looked up for a phrase.

    An index knows that a call has the words, not that one follows the other; that takes the call's document, several us
    a call. So those that have the words are put in order first, and then their documents are read until the page is
    full. A row's place is its own throughout a statement, which sees one snapshot.
    """
    read = CALL_SEARCH.alias("read")
    known = {**conditions, "document": CALL_SEARCH.c.document.bool_op("@@")(_tsquery("unordered"))}
    having = select(*COLUMNS, _place_of(CALL_SEARCH.name).label("place"))
    fitting = met(having, known, given).cte("fitting")
    order = pages.order(fitting, sort)
    ordered: Any = page_statement(select(*fitting.c), order, position, cast(null(), Integer))
    there = ordered.subquery("there")
    document = select(read.c.document).where(_place_of("read") == there.c.place).scalar_subquery()
    terms = [term.reversed() for term in order.terms] if position.backward else order.terms
    places = [*there.c][len(fitting.c) : len(fitting.c) + len(terms)]
    first = select(*[there.c[column.name] for column in COLUMNS]).where(document.bool_op("@@")(_tsquery("every")))
    in_order = [term.ordered(at) for term, at in zip(terms, places, strict=True)]
    return first.order_by(*in_order).limit(number("needed")).subquery("looked_up")


def beside_words(given: Collection[str]) -> list[Condition]:
    """What the index of words, where it is read, knows besides: of ``given`` the product, the type and the weeks."""
    if not {"every", "reps"} & set(given):
        return []
    known: list[Condition] = []
    if asked := [bindparam(name, type_=Text()) for name in ("product", "call_type") if name in given]:
        known.append(EQUALITIES.bool_op("@>")(cast(array(asked), ARRAY(Text))))
    if "weeks" in given:
        known.append(EQUALITIES.bool_op("&&")(bindparam("weeks", type_=ARRAY(Text))))
    return known


def number(name: str) -> ColumnElement[int]:
    """A parameter."""
    return bindparam(name, type_=Integer())


def _tsquery(name: str) -> ColumnElement[Any]:
    return cast(bindparam(name, type_=Text()), TSQUERY)


def _place_of(rows: str) -> ColumnElement[Any]:
    return literal_column(f"{rows}.ctid")
