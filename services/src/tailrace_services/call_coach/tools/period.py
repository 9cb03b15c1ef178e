"""A span of whole UTC days. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["LONGEST_DAYS", "USUAL_DAYS", "Period", "latest", "week_of"]

LONGEST_DAYS = 366
USUAL_DAYS = 90
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``first_day`` to ``last_day``, both included, at most :data:`LONGEST_DAYS`.

    Raises:
        ValueError: it ends before it begins, or is too long.
    """

    first_day: date
    last_day: date

    def __post_init__(self) -> None:
        if self.last_day < self.first_day:
            raise ValueError("a period must not end before it begins")
        if (self.last_day - self.first_day).days >= LONGEST_DAYS:
            raise ValueError(f"a period has at most {LONGEST_DAYS} days")

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime.combine(self.first_day, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment behind it."""
        return datetime.combine(self.last_day, time(), UTC) + _DAY


def latest(now: datetime) -> Period:
    """The :data:`USUAL_DAYS` that end with today, for whoever names no period."""
    today = now.astimezone(UTC).date()
    return Period(today - (USUAL_DAYS - 1) * _DAY, today)


def week_of(day: date) -> date:
    """The Monday of a day's week.

    >>> week_of(date(2026, 11, 22))
    datetime.date(2026, 11, 16)
    """
    return day - timedelta(days=day.weekday())
