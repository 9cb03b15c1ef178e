"""How a span of moments is cut for tables that count by the hour. Pure.

Whole hours come from a summary table; the part of an hour at either end comes from the calls themselves, by index. So
an answer is exact to the microsecond and reads no more than two hours of calls, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Date, DateTime, SmallInteger, TextClause, bindparam, text

from tailrace_services.voice_dashboard.api.windows import Span

__all__ = ["FIRST_HOUR", "HOURS", "LAST_HOUR", "cut", "statement"]

HOURS = "(r.date, r.hour) >= (:first_date, :first_hour) AND (r.date, r.hour) < (:last_date, :last_hour)"
"""Whether a summary row ``r`` lies wholly in the span."""

FIRST_HOUR = "c.user_id = :user_id AND c.created_at > :after AND c.created_at < :first_moment"
"""Whether a call ``c`` of the user lies in the part of an hour that begins the span; a full hour leaves none."""

LAST_HOUR = "c.user_id = :user_id AND c.created_at >= :last_moment AND c.created_at <= :until"
"""Whether a call ``c`` of the user lies in the part of an hour that ends the span."""

TYPES: Mapping[str, Any] = {
    "user_id": BigInteger(),
    "agent_id": BigInteger(),
    "month_date": Date(),
    "first_date": Date(),
    "first_hour": SmallInteger(),
    "last_date": Date(),
    "last_hour": SmallInteger(),
    "after": DateTime(timezone=True),
    "first_moment": DateTime(timezone=True),
    "last_moment": DateTime(timezone=True),
    "until": DateTime(timezone=True),
}


def statement(sql: str) -> TextClause:
    """``sql`` with its parameters' types, so that the driver never guesses."""
    clause = text(sql)
    names = [name for name in TYPES if name in clause._bindparams]
    return clause.bindparams(*[bindparam(name, type_=TYPES[name]) for name in names])


def cut(span: Span) -> dict[str, date | datetime | int]:
    """The parameters of :data:`HOURS`, :data:`FIRST_HOUR` and :data:`LAST_HOUR`.

    A span that excludes its first moment begins with a part of an hour even if that is a full one: the summary cannot
    leave out a call made exactly then.
    """
    first = _hour(span.after) if span.closed else _hour(span.after) + timedelta(hours=1)
    last = _hour(span.until)
    return {
        "after": span.after,
        "first_moment": first,
        "first_date": first.date(),
        "first_hour": first.hour,
        "last_moment": last,
        "last_date": last.date(),
        "last_hour": last.hour,
        "until": span.until,
    }


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
