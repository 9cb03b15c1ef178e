"""Which moments an answer covers. Pure. All of it in UTC, where no day has 23 or 25 hours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["MAX_DAYS", "ROLLING_DAYS", "ROLLING_HOURS", "Span", "calendar_days", "rolling", "this_month"]

ROLLING_DAYS = 30
ROLLING_HOURS = ROLLING_DAYS * 24
MAX_DAYS = 90
"""Most days that analytics answers."""


@dataclass(frozen=True, slots=True)
class Span:
    """The moments ``after < moment <= until``, or from ``after`` itself on when ``closed``."""

    after: datetime
    until: datetime
    closed: bool = False

    @property
    def first_day(self) -> date:
        """The UTC day of the first moment."""
        return self.after.astimezone(UTC).date()

    @property
    def last_day(self) -> date:
        """The UTC day of the last moment."""
        return self.until.astimezone(UTC).date()

    def days(self) -> list[date]:
        """Every day of the span, in order."""
        first = self.first_day
        return [first + timedelta(days=n) for n in range((self.last_day - first).days + 1)]


def rolling(now: datetime) -> Span:
    """The last 30 days: ``(now - 30 days, now]``.

    >>> rolling(datetime(2026, 3, 1, 12, tzinfo=UTC)).after
    datetime.datetime(2026, 1, 30, 12, 0, tzinfo=datetime.timezone.utc)
    """
    return Span(now - timedelta(days=ROLLING_DAYS), now)


def calendar_days(now: datetime, days: int) -> Span:
    """``days`` UTC days, today's elapsed part the last of them: ``[midnight, now]``.

    >>> [day.isoformat() for day in calendar_days(datetime(2027, 1, 1, tzinfo=UTC), 2).days()]
    ['2026-12-31', '2027-01-01']
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Span(midnight - timedelta(days=days - 1), now, closed=True)


def this_month(now: datetime) -> Span:
    """This UTC month so far: ``[first midnight, now]``."""
    return Span(now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0), now, closed=True)
