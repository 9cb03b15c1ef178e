"""Where a page is likely to be full: the weeks or the product in which calls are looked up before all are. Pure.

Looking up reads all calls that fit, a year of them for the sake of the newest twenty. A probe of the newest tells how
often calls fit, so also how far back a few times as many as are needed lie. The index of words knows the week of a
call, and so it finds those of some weeks alone. Weeks are counted from 1970, in UTC. In the order of products the page
is likely to be about the product with which it begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import CTE, BigInteger, ColumnElement, Float, Subquery, Text, and_, case, cast, extract, func, select
from sqlalchemy.dialects.postgresql import ARRAY, array

from tailrace_services.call_coach.optimised.call_search import (
    CALL_SEARCH,
    EQUALITIES,
    WEEK,
    WEEK_SECONDS,
    named_week,
)

__all__ = ["PLENTY", "in_window", "same_product", "weeks_between", "window_behind"]

PLENTY = 4
"""So far a window reaches for a page: it has few calls, and which of them fit in the probe is chance."""
MOST_WEEKS = 120
"""Weeks that the index is asked for at most."""
_EPOCH, _WEEK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(weeks=1)


def weeks_between(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """The weeks of a time that is asked for, as a parameter ``weeks`` for the index of words; nothing for a long time.

    >>> sunday, friday = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 6, tzinfo=UTC)
    >>> weeks_between({"scheduled_from": sunday, "scheduled_until": friday})
    {'weeks': ['week 2930', 'week 2931']}
    """
    if "scheduled_from" not in given or "scheduled_until" not in given:
        return {}
    first, last = [(given[name] - _EPOCH) // _WEEK for name in ("scheduled_from", "scheduled_until")]
    return {"weeks": [f"week {number}" for number in range(first, last + 1)]} if last - first < MOST_WEEKS else {}


def window_behind(probe: Subquery, needed: ColumnElement[int], *, descending: bool, plenty: int = PLENTY) -> CTE:
    """The first and the last week of a window: those of the probe, and further on the way that is walked.

    Args:
        probe: the first rows in the order of dates, with ``scheduled_at`` and ``fits``. There are none behind the
            position that lie before them, so what the window holds is the beginning of what fits.
        needed: how many calls.
        descending: whether the newest come first.
        plenty: how far it reaches: as far as so many times the calls that are needed, if they lie as in the probe.
    """
    # Infinity is in no week: nothing is found in a window then, and all is looked up.
    known = func.bool_and(func.isfinite(probe.c.scheduled_at))
    edges = (func.min(probe.c.scheduled_at), func.max(probe.c.scheduled_at))
    moments = [case((known, cast(extract("epoch", edge), Float))) for edge in edges]
    fitting = func.count().filter(probe.c.fits)
    extent = select(moments[0].label("begin"), moments[1].label("end"), fitting.label("fitting")).select_from(probe)
    seen = extent.subquery("extent").c
    reach = (seen.end - seen.begin) * needed * plenty / (seen.fitting + 1)
    first = _week(seen.begin - reach) if descending else _week(seen.begin)
    last = _week(seen.end) if descending else _week(seen.end + reach)
    bounded = (
        func.greatest(first, last - (MOST_WEEKS - 1)) if descending else first,
        last if descending else func.least(last, first + (MOST_WEEKS - 1)),
    )
    return select(bounded[0].label("first"), bounded[1].label("last")).cte("weeks").prefix_with("MATERIALIZED")


def in_window(weeks: CTE) -> ColumnElement[bool]:
    """A call takes place in one of the weeks. The index is asked by their names, and may know other things by them."""
    first, last = [select(weeks.c[name]).scalar_subquery() for name in ("first", "last")]
    number = func.generate_series(first, last, type_=BigInteger()).column_valued("number")
    names: Any = func.array(select(named_week(number)).scalar_subquery(), type_=ARRAY(Text))
    return and_(EQUALITIES.bool_op("&&")(names), WEEK.between(first, last))


def same_product(probe: Subquery, *, beside_words: bool) -> ColumnElement[bool]:
    """A call is about the product that all of the probe are about. None is if they are about several, or about none.

    Args:
        probe: the first rows in the order of products, with ``product``.
        beside_words: whether the index of words is read, which knows the product.
    """
    least, most = func.min(probe.c.product), func.max(probe.c.product)
    only = case((and_(least == most, func.count() == func.count(probe.c.product)), least))
    begun = select(only.label("product")).select_from(probe).cte("begun").prefix_with("MATERIALIZED")
    product = select(begun.c.product).scalar_subquery()
    same = CALL_SEARCH.c.product == product
    return and_(EQUALITIES.bool_op("@>")(array([product], type_=Text())), same) if beside_words else same


def _week(seconds: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(func.floor(seconds / WEEK_SECONDS), BigInteger)
