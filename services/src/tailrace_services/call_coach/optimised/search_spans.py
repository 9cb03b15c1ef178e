"""Where a page in the order of scores or durations is likely to be full: a span of them, looked up before all is. Pure.

In these orders a probe does not tell how often calls fit further on: the shortest calls hardly say anything, and the
worst are few. But PostgreSQL's statistics tell which value lies an eighth of all calls behind the place where the page
begins, and the index of words knows in which span of scores and durations a call lies. So an eighth of what fits is
read and put in order, where else all would be. No answer depends on the statistics, only its price does.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Numeric,
    Subquery,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    true,
)

from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH, EQUALITIES, SPANS, named_span

__all__ = ["SPANNED", "in_span", "span_behind"]

SPANNED = {"score": "score", "duration": "duration_seconds"}
"""Order -> the column of ``SPANS`` that it goes by."""

PART = literal_column("8", Integer())
"""A span reaches over one of so many calls."""
_STATISTICS = table(
    "pg_stats",
    *(column(name) for name in ("schemaname", "tablename", "attname", "inherited", "histogram_bounds")),
    schema="pg_catalog",
)


def span_behind(name: str, probe: Subquery, *, descending: bool) -> CTE:
    """The first and the last of the spans that are looked up; NULL where none is known.

    Args:
        name: the column that orders, one of ``SPANS``.
        probe: the first rows in that order. None behind the position lies before them, so what the spans hold is the
            beginning of what fits.
        descending: whether the greatest come first.
    """
    value = probe.c[name]
    nan = literal_column("'NaN'", Numeric())
    # Nothing (no score) and NaN come first in some orders and are in no span: then all is looked up.
    known = func.count() == func.count(value).filter(value != nan)
    begin = select(case((known, (func.max if descending else func.min)(value))).label("begin")).select_from(probe)
    bounds, edge = [each.prefix_with("MATERIALIZED") for each in (_bounds(name).cte("bounds"), begin.cte("edge"))]
    # Between two bounds lie like numbers of calls.
    passed = func.width_bucket(edge.c.begin, bounds.c.bounds, type_=Integer())
    many = func.cardinality(bounds.c.bounds, type_=Integer())
    reach = many // PART + 1
    at = func.greatest(passed - reach, 1) if descending else func.least(passed + reach, many)
    edges = func.nullif(bounds.c.bounds[at], nan, type_=Numeric()), edge.c.begin
    lowest, highest = [cast(SPANS[name](value), BigInteger) for value in (edges if descending else edges[::-1])]
    span = select(lowest.label("first"), highest.label("last")).select_from(bounds.join(edge, true()))
    return span.cte("span").prefix_with("MATERIALIZED")


def in_span(name: str, spans: CTE) -> ColumnElement[bool]:
    """A call lies in one of the spans. The index is asked by their names, and may know other things by them."""
    first, last = [select(spans.c[edge]).scalar_subquery() for edge in ("first", "last")]
    number = func.generate_series(first, last, type_=BigInteger()).column_valued("number")
    names: Any = func.array(select(named_span(name, number)).scalar_subquery(), type_=ARRAY(Text))
    return and_(EQUALITIES.bool_op("&&")(names), SPANS[name](CALL_SEARCH.c[name]).between(first, last))


def _bounds(name: str) -> Any:
    """What ``ANALYZE`` has found: values between which there are like numbers of calls."""
    c = _STATISTICS.c
    bounds = cast(cast(c.histogram_bounds, Text), ARRAY(Numeric)).label("bounds")
    return select(bounds).where(
        c.schemaname == literal_column("'public'"),
        c.tablename == literal_column(f"'{CALL_SEARCH.name}'"),
        c.attname == literal_column(f"'{name}'"),
        ~c.inherited,
    )
