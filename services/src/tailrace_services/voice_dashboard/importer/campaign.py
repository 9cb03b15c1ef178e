"""What a row of the bank's campaign means as a call. Pure.

The file is the UCI "Bank Marketing" data set, ``bank-full.csv``: one contact a row, in order of time from May 2008 to
November 2010, separated by ``;``. It says less than a call record does, so the rest follows a rule:

| a call has | the rule |
|---|---|
| duration | ``duration`` seconds / 60, rounded half up to 1/1000 minute |
| status | ``y`` is yes: ``completed``; else 0 s: ``no_answer``; under 10 s: ``failed``; else ``completed`` |
| credits | 10 a minute of a completed call, none otherwise |
| lead | a completed call that sold (``y`` is yes) or lasted 60 s or more |
| score, sold | 70 + one point for each full 30 s, at most 100: always hot |
| score, not sold | 20 + one point for each full 20 s up to 30, + 15 if ``poutcome`` is success, 5 if other: never hot |
| year | 2008 at first, one more whenever ``month`` falls back; a month more than three ahead is out of order |
| time of day | the n-th call of a day starts at 09:00:00 UTC + n x 10 s |
| agent | one for each ``job`` |

**Source:** Moro, Cortez and Rita, "A data-driven approach to predict the success of bank telemarketing", 2014.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

__all__ = ["COLUMNS", "SEGMENTS", "Calendar", "CampaignCall", "Rejection", "RowError", "parse_header", "parse_row"]

COLUMNS = (
    "age", "job", "marital", "education", "default", "balance", "housing", "loan", "contact", "day", "month",
    "duration", "campaign", "pdays", "previous", "poutcome", "y",
)  # fmt: skip
SEGMENTS = (
    "admin.", "blue-collar", "entrepreneur", "housemaid", "management", "retired", "self-employed", "services",
    "student", "technician", "unemployed", "unknown",
)  # fmt: skip
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OUTCOMES = {"success": 15, "other": 5, "failure": 0, "unknown": 0}
_JOB, _DAY, _MONTH, _DURATION, _POUTCOME, _Y = (
    COLUMNS.index(name) for name in ("job", "day", "month", "duration", "poutcome", "y")
)
_LONGEST = 86_400
"""Longest call believed, seconds."""
_FIRST_YEAR = 2008
_LARGEST_STEP = 3
"""Most months from one row to the next; the published file has two at most."""
_OPENING = time(9, tzinfo=UTC)
_SPACING = timedelta(seconds=10)
_CALLS_PER_DAY = 5400
"""From 09:00 to midnight at the spacing."""


class RowError(ValueError):
    """A row that cannot be a call; the message says why."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out: ``line`` counts from 1, the header included."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class CampaignCall:
    """A row as a call. ``thousandths`` of a minute, ``cents`` of a credit; ``score`` is None if it is no lead."""

    segment: str
    status: str
    thousandths: int
    cents: int
    created_at: datetime
    score: int | None


@dataclass(slots=True)
class Calendar:
    """Dates for rows that have a day and a month only, from their order.

    One row with a month too far ahead, a slip, is believed for itself and does not carry the rows after it along.

    >>> calendar = Calendar()
    >>> [f"{calendar.place(5, month):%Y-%m-%d %H:%M:%S}" for month in (11, 11, 12, 1)]
    ['2008-11-05 09:00:00', '2008-11-05 09:00:10', '2008-12-05 09:00:00', '2009-01-05 09:00:00']
    """

    year: int = _FIRST_YEAR
    month: int | None = None
    earlier: tuple[int, int] | None = None
    """Year and month before the last change, while only one row has followed it."""
    calls: Counter[date] = field(default_factory=Counter)

    def place(self, day: int, month: int) -> datetime:
        """The moment of the next call.

        Raises:
            RowError: there is no such day, the month is out of order, or the day is full; nothing was counted.
        """
        year, previous = self._preceding(month)
        year += month < previous
        try:
            on = date(year, month, day)
        except ValueError:
            raise RowError(f"there is no {day} {_MONTHS[month - 1]} {year}") from None
        if self.calls[on] >= _CALLS_PER_DAY:
            raise RowError(f"more than {_CALLS_PER_DAY} calls on {on}")
        moment = datetime.combine(on, _OPENING) + self.calls[on] * _SPACING
        changed = previous == self.month != month
        self.earlier = (self.year, previous) if changed else None
        self.year, self.month = year, month
        self.calls[on] += 1
        return moment

    def _preceding(self, month: int) -> tuple[int, int]:
        """Year and month of the row that one in ``month`` follows."""
        if self.month is None:
            return self.year, month
        for year, previous in ((self.year, self.month), *([self.earlier] if self.earlier else [])):
            if (month - previous) % 12 <= _LARGEST_STEP:
                return year, previous
        raise RowError(f"month {_MONTHS[month - 1]!r} after {_MONTHS[self.month - 1]!r} is out of order")


def parse_header(line: str) -> bool:
    """True if ``line`` names the columns of the campaign, in their order."""
    try:
        return tuple(_split(line)) == COLUMNS
    except RowError:
        return False


def parse_row(line: str, calendar: Calendar) -> CampaignCall:
    """The call that a row stands for; ``calendar`` moves on with it.

    Raises:
        RowError: it is not a row of the campaign; the calendar has not moved.
    """
    fields = _split(line)
    if len(fields) != len(COLUMNS):
        raise RowError(f"{len(fields)} columns instead of {len(COLUMNS)}")
    segment = _one_of("job", fields[_JOB], SEGMENTS)
    sold = _one_of("y", fields[_Y], ("yes", "no")) == "yes"
    outcome = _OUTCOMES[_one_of("poutcome", fields[_POUTCOME], tuple(_OUTCOMES))]
    seconds = _number("duration", fields[_DURATION], 0, _LONGEST)
    month = _MONTHS.index(_one_of("month", fields[_MONTH], _MONTHS)) + 1
    moment = calendar.place(_number("day", fields[_DAY], 1, 31), month)
    status = _status(seconds, sold)
    thousandths = (seconds * 1000 + 30) // 60
    return CampaignCall(
        segment=segment,
        status=status,
        thousandths=thousandths,
        cents=thousandths if status == "completed" else 0,  # 10 credits a minute: 1 cent for 1/1000 minute
        created_at=moment,
        score=_score(seconds, sold, outcome) if status == "completed" else None,
    )


def _status(seconds: int, sold: bool) -> str:
    if sold or seconds >= 10:
        return "completed"
    return "failed" if seconds else "no_answer"


def _score(seconds: int, sold: bool, outcome: int) -> int | None:
    if sold:
        return 70 + min(30, seconds // 30)
    return 20 + min(30, seconds // 20) + outcome if seconds >= 60 else None


def _split(line: str) -> list[str]:
    if not line.strip():
        raise RowError("the line is empty")
    try:
        (fields,) = csv.reader([line], delimiter=";", strict=True)
    except csv.Error as error:
        raise RowError(f"not readable as CSV: {error}") from None
    return fields


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")


def _one_of(column: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise RowError(f"{column} is {_shown(value)}, not one of {', '.join(allowed)}")
    return value


def _number(column: str, value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise RowError(f"{column} is {_shown(value)}, not a whole number of 0 or more")
    if not least <= int(value) <= most:
        raise RowError(f"{column} is {value}, not between {least} and {most}")
    return int(value)
