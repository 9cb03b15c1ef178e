"""Sums of scores by representative, kept by the database, and how a period is put together from them. Pure.

A period is whole months, and days at its two ends, which are added or taken away, whichever are fewer: at most half a
month each. So for a thousand representatives some ten thousand rows are read, however many sessions there are.

All four dimensions stand side by side in one row, because whoever asks for one asks for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import DateTime, func, literal_column

from tailrace.schema import Declaration, Measure, Rollup, count, sum_
from tailrace_services.call_coach.model import DIMENSIONS, Call, CoachingSession
from tailrace_services.call_coach.tools.period import Period

__all__ = ["EVERYTHING", "OBJECTS", "ONE_PRODUCT", "Summaries", "pieces"]

sessions, calls = CoachingSession.__table__.c, Call.__table__.c

MONTH = func.date_trunc(
    literal_column("'month'"),
    func.timezone(literal_column("'UTC'"), sessions.created_at, type_=DateTime()),
    type_=DateTime(),
)


def _measures() -> dict[str, Measure]:
    measures: dict[str, Measure] = {}
    for dimension in DIMENSIONS:
        about = sessions.dimension == dimension
        measures |= {
            f"{dimension}_sessions": count(where=about),
            f"{dimension}_points": sum_(sessions.score, where=about),
        }
    return measures


def _rollup(name: str, time: Any, *, by_product: bool = False) -> Rollup:
    whose = {"rep_id": sessions.rep_id, "rubric_version": sessions.rubric_version}
    return Rollup(
        name,
        CoachingSession,
        {"product": calls.product, **whose} if by_product else whose,
        time=time,
        grain="day",
        measures=_measures(),
        join=(Call, sessions.call_id == calls.id) if by_product else None,
        # The time before the representative: peers are read for a range of it, and one representative's days are as
        # many probes of the key.
        leading=1 if by_product else 0,
    )


@dataclass(frozen=True, slots=True)
class Summaries:
    """The sums by day and by month, the latter under the first of the month.

    Args:
        condition: SQL that is to hold for their rows, beside the time and the rubric.
    """

    days: Rollup
    months: Rollup
    condition: str

    @property
    def parts(self) -> str:
        """Every representative's rows of a period as SQL, some with a sign of -1; parameters are :func:`pieces`'."""
        figures = ", ".join(f"{dimension}_sessions, {dimension}_points" for dimension in DIMENSIONS)
        which = f"rubric_version = :rubric_version AND {self.condition}"
        return f"""
    SELECT rep_id, 1 AS sign, {figures} FROM {self.months.name}
    WHERE date >= :first_month AND date < :end_of_months AND {which}
    UNION ALL
    SELECT rep_id, CAST(:first_sign AS int), {figures} FROM {self.days.name}
    WHERE date >= :first_from AND date < :first_until AND {which}
    UNION ALL
    SELECT rep_id, CAST(:last_sign AS int), {figures} FROM {self.days.name}
    WHERE date >= :last_from AND date < :last_until AND {which}
"""  # noqa: S608 - constants


EVERYTHING = Summaries(_rollup("coaching_by_day", sessions.created_at), _rollup("coaching_by_month", MONTH), "true")
"""Sessions about all products."""

ONE_PRODUCT = Summaries(
    _rollup("coaching_by_product_day", sessions.created_at, by_product=True),
    _rollup("coaching_by_product_month", MONTH, by_product=True),
    "product = :product",
)
"""Sessions about calls of one product."""

OBJECTS: tuple[Declaration, ...] = (EVERYTHING.days, EVERYTHING.months, ONE_PRODUCT.days, ONE_PRODUCT.months)


def pieces(period: Period) -> Mapping[str, date | int]:
    """What a period is put together from: months, and days before and behind them with the sign to count them by.

    >>> found = pieces(Period(date(2026, 1, 5), date(2026, 3, 12)))
    >>> print(found["first_month"], found["end_of_months"])  # the whole of January, not March
    2026-01-01 2026-03-01
    >>> print(found["first_sign"], found["first_from"], found["first_until"])  # less its first days
    -1 2026-01-01 2026-01-05
    >>> print(found["last_sign"], found["last_from"], found["last_until"])  # and the first days of March
    1 2026-03-01 2026-03-13
    """
    first, behind = period.first_day, period.last_day + timedelta(days=1)
    (from_first, after_first), (from_last, after_last) = _month(first), _month(behind)
    found: dict[str, date | int] = {}
    if first - from_first <= after_first - first:
        found |= {"first_month": from_first, "first_sign": -1, "first_from": from_first, "first_until": first}
    else:
        found |= {"first_month": after_first, "first_sign": 1, "first_from": first, "first_until": after_first}
    if behind - from_last <= after_last - behind:
        found |= {"end_of_months": from_last, "last_sign": 1, "last_from": from_last, "last_until": behind}
    else:
        found |= {"end_of_months": after_last, "last_sign": -1, "last_from": behind, "last_until": after_last}
    return found


def _month(day: date) -> tuple[date, date]:
    """The first of a day's month, and of the next."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)
