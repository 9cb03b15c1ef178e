"""When to come again, as the field ``Retry-After`` says it. Pure.

**Source:** RFC 9110 section 10.2.3.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime

__all__ = ["LONGEST_RETRY_AFTER", "parse_retry_after"]

LONGEST_RETRY_AFTER = 86_400.0
"""A longer ``Retry-After`` (seconds) is taken for this; it exceeds every caller's time anyway."""

_SECONDS = re.compile(r"[0-9]{1,18}")


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait as asked by a ``Retry-After`` header; None if it is absent or says nothing usable.

    Args:
        value: seconds or an HTTP-date; anything else (negative numbers, fractions, words) is ignored.
        now: wall time, against which a date is held; a date in the past means 0.

    >>> parse_retry_after("120", 0.0)
    120.0
    >>> parse_retry_after("-1", 0.0) is None
    True
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER)
    if not text[:1].isalpha():  # an HTTP-date begins with the name of a day
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 - "-0000" is how email.utils names UTC
        return min(max(0.0, moment.timestamp() - now), LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
