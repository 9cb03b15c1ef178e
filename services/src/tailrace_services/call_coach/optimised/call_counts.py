"""How many calls there are of a product and a type in a time, exactly, without reading them. Pure.

Calls are counted by day, product and type in the transactions that write them. A time is whole days and what is left of
the days at its two ends, whose calls are read from an index. So for any of it some twenty thousand rows are added up at
most, however many calls there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Executable,
    Text,
    bindparam,
    column,
    func,
    select,
    table,
)

from tailrace.schema import Rollup, count
from tailrace_services.call_coach.model import Call
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.tools import search_pages as pages

__all__ = ["OBJECTS", "exact_count", "whole_days"]

_calls = Call.__table__.c

CALLS_BY_DAY = Rollup(
    "calls_by_day",
    Call,
    {"product": _calls.product, "call_type": _calls.call_type},
    time=_calls.scheduled_at,
    grain="day",
    measures={"calls": count()},
    # Before product and type comes the day: what is asked for most is a time.
    leading=0,
)
OBJECTS = (CALLS_BY_DAY,)

COUNTED = frozenset({"product", "call_type", "scheduled_from", "scheduled_until"})
"""Of ``search_pages.parameters``: what the counts can tell apart."""
DAY = timedelta(days=1)
_days = table(
    CALLS_BY_DAY.name, column("date", Date), column("product"), column("call_type"), column("calls", BigInteger)
)


def whole_days(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters of ``exact_count`` beside ``given``: the days that lie wholly in the time, in UTC.

    Returns:
        None if something else restricts too, or if the time does not reach from one day into another.

    >>> found = whole_days({"scheduled_from": datetime(2026, 3, 1, 9, tzinfo=UTC)})
    >>> print(found["first_day"], found["first_moment"])
    2026-03-02 2026-03-02 00:00:00+00:00
    """
    if not COUNTED.issuperset(given):
        return None
    found: dict[str, Any] = {}
    try:
        if (begin := given.get("scheduled_from")) is not None:
            midnight = _midnight(begin)
            first = midnight if midnight == begin else midnight + DAY
            found |= {"first_day": first.date(), "first_moment": first}
        if (end := given.get("scheduled_until")) is not None:
            last = _midnight(end)
            found |= {"last_day": last.date(), "last_moment": last}
    except OverflowError:  # there is no day before the first year or behind the last
        return None
    return None if len(found) == 4 and found["last_moment"] < found["first_moment"] else found


@lru_cache(maxsize=16)
def exact_count(given: frozenset[str]) -> Executable:
    """Counts the calls that fit. Its parameters are the search's and those of ``whole_days``."""
    equal = [name for name in ("product", "call_type") if name in given]
    of_these = list(pages.conditions(equal, CALL_SEARCH).values())
    days = select(func.coalesce(func.sum(_days.c.calls), 0))
    days = days.where(*[_days.c[name] == bindparam(name, type_=Text()) for name in equal])
    ends: list[ColumnElement[Any]] = []
    if "scheduled_from" in given:
        days = days.where(_days.c.date >= bindparam("first_day", type_=Date()))
        ends.append(_between("scheduled_from", "first_moment", of_these))
    if "scheduled_until" in given:
        days = days.where(_days.c.date < bindparam("last_day", type_=Date()))
        ends.append(_between("last_moment", "scheduled_until", of_these))
    return select(sum(ends, days.scalar_subquery()))


def _between(begin: str, end: str, conditions: Iterable[ColumnElement[bool]]) -> ColumnElement[Any]:
    """How many calls take place between two parameters, the second excluded."""
    when = CALL_SEARCH.c.scheduled_at
    moments = [bindparam(name, type_=DateTime(timezone=True)) for name in (begin, end)]
    calls = select(func.count()).select_from(CALL_SEARCH)
    return calls.where(when >= moments[0], when < moments[1], *conditions).scalar_subquery()


def _midnight(moment: datetime) -> datetime:
    """The beginning of its day."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
