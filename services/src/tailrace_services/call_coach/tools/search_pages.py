"""The rows that ``search_calls`` pages through: what restricts and orders them, wherever they come from. Pure.

Both implementations have rows of the same columns under one name, :data:`ROWS`, so that a condition or an order means
the same to both, and a cursor of the one is good for the other.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    DateTime,
    Numeric,
    Select,
    Subquery,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.sql import ColumnElement, FromClause

from tailrace.core.cursor import Cursors
from tailrace.db import Order, PageRequest, Pages, Term
from tailrace_services.call_coach.tools.search_calls import (
    BEGIN_MARK,
    END_MARK,
    MOMENTS,
    RANKED,
    TOTALS,
    SearchCalls,
    Sort,
    Words,
)

__all__ = [
    "CAP",
    "COMPARED",
    "MAX_LIMIT",
    "MAX_OFFSET",
    "MOMENTS_OF",
    "PARSE",
    "RELEVANCE",
    "ROWS",
    "conditions",
    "order",
    "page",
    "pages_of",
    "parameters",
    "ranked",
    "relevance",
]

ROWS = "call_search"
"""Name of the rows. Their columns: call_id, title, product, call_type, scheduled_at, duration_seconds, score, reps, and
document, the call's words."""
MAX_LIMIT = 50
"""Most calls of a page."""
MAX_OFFSET = 1_000
"""Most calls that a page skips; cursors go further at the price of a first page."""
CAP = 1_000
"""Calls at which a total that is capped or estimated stops counting."""
COMPARED: ColumnElement[int] = literal_column("200")
"""Characters of titles that are compared: no index holds much longer ones."""

PARSE = text("""
SELECT q::text AS query, querytree(q) AS indexable, tsvector_to_array(to_tsvector('english', said)) AS lexemes
FROM (SELECT CAST(:text AS text) AS said, websearch_to_tsquery('english', :text) AS q
      WHERE CAST(:text AS text) IS NOT NULL
      UNION ALL
      SELECT topic, phraseto_tsquery('english', topic) FROM unnest(CAST(:topics AS text[])) AS topic) AS parts
""")
"""How PostgreSQL reads ``text`` and ``topics``: for ``words_of``."""

_OPTIONS = f"StartSel={BEGIN_MARK}, StopSel={END_MARK}, MaxWords=30, MinWords=12"
MOMENTS_OF = f"""
SELECT t.place, t.sequence_number, t.start_ms, t.end_ms, t.speaker_id,
       ts_headline('english', translate(t.text, '{BEGIN_MARK}{END_MARK}', ''), CAST(:any AS tsquery),
                   '{_OPTIONS}') AS headline
FROM (SELECT *, row_number() OVER (ORDER BY ts_rank(search, CAST(:any AS tsquery)) DESC, sequence_number, id) AS place
      FROM transcripts WHERE call_id = {{call}} AND search @@ CAST(:any AS tsquery) ORDER BY place LIMIT {MOMENTS}) t
ORDER BY t.place
"""  # noqa: S608 - constants
"""A call's moments, to be formatted with the expression that names the call."""


RELEVANCE = "round(CAST(ts_rank({document}, CAST(:every AS tsquery)) AS numeric), 6)"
"""The same as ``relevance``, as text to be formatted with the expression that holds the call's words."""


def parameters(question: SearchCalls, words: Words | None) -> dict[str, Any]:
    """What restricts the rows: the values of the parameters of ``conditions``."""
    asked = {
        "every": None if words is None else words.every,
        "product": question.product,
        "call_type": question.call_type,
        "reps": list(question.reps) or None,
        "scheduled_from": question.scheduled_from,
        "scheduled_until": question.scheduled_until,
        "min_score": question.min_score,
        "max_score": question.max_score,
    }
    return {name: value for name, value in asked.items() if value is not None}


def conditions(given: Collection[str], rows: FromClause) -> dict[str, ColumnElement[bool]]:
    """What restricts the rows, each by the name of the column that it is about.

    Args:
        given: which of ``parameters`` there are. Their values are left open: searches that differ in nothing else are
            one statement.
        rows: those searched.
    """
    c = rows.c
    begin, end = (bindparam(name, type_=DateTime(timezone=True)) for name in ("scheduled_from", "scheduled_until"))
    least, most = (bindparam(name, type_=Numeric()) for name in ("min_score", "max_score"))
    every = {
        "every": ("document", c.document.bool_op("@@")(_query()) if "every" in given else None),
        "product": ("product", c.product == bindparam("product", type_=Text())),
        "call_type": ("call_type", c.call_type == bindparam("call_type", type_=Text())),
        "reps": ("reps", c.reps.overlap(bindparam("reps", type_=ARRAY(Text)))),
        "scheduled_from": ("scheduled_at", c.scheduled_at >= begin),
        "scheduled_until": ("scheduled_at", c.scheduled_at < end),
        "min_score": ("score", c.score >= least),
        "max_score": ("score", c.score <= most),
    }
    found: dict[str, list[ColumnElement[bool]]] = {}
    for name, (column, condition) in every.items():
        if name in given and condition is not None:
            found.setdefault(column, []).append(condition)
    return {column: and_(*its) for column, its in found.items()}


def relevance(document: ColumnElement[Any]) -> ColumnElement[Any]:
    """How well a call fits, as a number that is the same in every process. Its parameter: ``every``."""
    return func.round(cast(func.ts_rank(document, _query()), Numeric), 6, type_=Numeric())


def ranked(fitting: Select[*tuple[Any, ...]]) -> Subquery:
    """The newest of the rows that ``fitting`` selects, with their relevance."""
    c = fitting.selected_columns
    newest = fitting.order_by(c.scheduled_at.desc(), c.call_id.desc()).limit(RANKED).subquery()
    return select(newest, relevance(newest.c.document).label("relevance")).subquery(ROWS)


def order(rows: FromClause, sort: Sort) -> Order:
    """The order of that name. Ties go to the call with the higher id where the last column descends, else the lower."""
    c = rows.c
    newest = _term(c.scheduled_at, "-")
    by: dict[str, tuple[Term, ...]] = {
        "scheduled_at": (_term(c.scheduled_at, sort),),
        "duration": (_term(c.duration_seconds, sort),),
        "score": (_term(c.score, sort, nullable=True),),
        "title": (_term(func.left(c.title, COMPARED, type_=Text()), sort),),
        "product": (_term(c.product, sort, nullable=True), newest),
    }
    name = sort.removeprefix("-")
    terms = (_term(c.relevance, "-"), newest) if name == "relevance" else by[name]
    return Order(*terms, key=_term(c.call_id, "-" if terms[-1].descending else ""))


def _term(expression: ColumnElement[Any], sort: str, *, nullable: bool = False) -> Term:
    descending = sort.startswith("-")
    # Without NULLs their place is PostgreSQL's own, or an index that does not name it would not be found.
    return Term(expression, descending, nulls_first=descending and not nullable, nullable=nullable)


def pages_of(rows: FromClause, sort: Sort) -> Pages:
    """What pages may be asked for of ``rows`` in that order."""
    return Pages(
        {sort: order(rows, sort)},
        max_limit=MAX_LIMIT,
        max_offset=MAX_OFFSET,
        totals=TOTALS,
        cap=CAP,
    )


def page(question: SearchCalls, of: Pages, cursors: Cursors) -> PageRequest:
    """The page asked for.

    Raises:
        RequestError: there is no such page, or the cursor was not issued for this search; status 400.
    """
    return of.request(
        limit=question.limit,
        cursor=question.cursor,
        offset=question.offset,
        total=question.total,
        filters=question.filters(),
        identity=None,
        cursors=cursors,
    )


def _query() -> ColumnElement[Any]:
    return cast(bindparam("every", type_=Text()), TSQUERY)
