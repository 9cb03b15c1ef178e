"""HTTP dates: all three forms read strictly, the one form written. Pure.

**Source:** RFC 9110 section 5.6.7 (HTTP-date; two-digit years more than 50 years ahead belong to the century before).
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

__all__ = ["format_http_date", "parse_http_date"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY, _LONG, _MONTH = "|".join(_DAYS), "|".join(_LONG_DAYS), "|".join(_MONTHS)
_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_FORMS = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"(?:{_DAY}), (?P<day>\d\d) (?P<month>{_MONTH}) (?P<year>\d{{4}}) {_CLOCK} GMT",  # IMF-fixdate
        rf"(?:{_LONG}), (?P<day>\d\d)-(?P<month>{_MONTH})-(?P<year>\d\d) {_CLOCK} GMT",  # RFC 850
        rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",  # asctime
    )
)
_LONGEST = 40
CENTURY = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = 50


def parse_http_date(value: bytes | None, now: float) -> int | None:
    """Seconds since 1970; None for what is absent or no date.

    Upper and lower case are taken for the same. The name of the day is not compared with the date.

    Args:
        value: one field line's value.
        now: wall time, to which a year of two digits belongs.

    >>> parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GMT", 0)
    784111777
    >>> parse_http_date(b"Sunday, 06-Nov-94 08:49:37 GMT", 1.8e9) == parse_http_date(b"Sun Nov  6 08:49:37 1994", 0)
    True
    """
    if value is None or len(value) > _LONGEST:
        return None
    text = value.decode("latin-1").strip(" \t")
    found = next((match for form in _FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _full_year(year, _moment(now).year)
    month = _MONTHS.index(found["month"].lower()) + 1
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    # 60 is a leap second.
    if not 1 <= day <= _days_in(year, month) or hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((year, month, day, hour, minute, second))


def format_http_date(moment: float) -> bytes:
    """As every recipient understands it.

    >>> format_http_date(784111777.9)
    b'Sun, 06 Nov 1994 08:49:37 GMT'
    """
    at = _moment(moment)
    names = _DAYS[at.weekday()].title(), _MONTHS[at.month - 1].title()
    return f"{names[0]}, {at.day:02} {names[1]} {at.year:04} {at:%H:%M:%S} GMT".encode("ascii")


def _moment(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=int(seconds))


def _full_year(short: int, this_year: int) -> int:
    year = this_year - this_year % CENTURY + short
    return year - CENTURY if year > this_year + AHEAD else year


def _days_in(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1] if year else 0
