"""Cutting a window of time into raw edges, hours and days. Pure.

        start                                                                end
          |--raw--|--hours--|-------------- days --------------|--hours--|--raw--|

Whole days are read from a rollup by day, whole hours from one by hour, and what is left at both ends from the rows
themselves, so that a rolling window is exact to the microsecond and still costs a few dozen rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

__all__ = ["Bounds", "Span", "Window", "cut", "half_open"]

Bounds = Literal["[)", "[]", "(]", "()"]
"""Which ends belong to a window: ``[`` and ``]`` do, ``(`` and ``)`` do not."""

TICK = timedelta(microseconds=1)
"""PostgreSQL counts time in whole microseconds, so an end that belongs is one tick before an end that does not."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` until just before ``end``; empty when they are equal."""

    start: datetime
    end: datetime

    def __bool__(self) -> bool:
        return self.start < self.end


@dataclass(frozen=True, slots=True)
class Window:
    """A window in pieces that touch: each begins where the one before it ends."""

    raw_before: Span
    hours_before: Span
    days: Span
    hours_after: Span
    raw_after: Span

    @property
    def spans(self) -> tuple[Span, Span, Span, Span, Span]:
        return (self.raw_before, self.hours_before, self.days, self.hours_after, self.raw_after)


def half_open(start: datetime, end: datetime, bounds: Bounds = "[)") -> Span:
    """The same window with its start inside and its end outside; an empty one if it ends before it starts.

    Raises:
        ValueError: a time without a zone, or an unknown ``bounds``.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("a window needs times with a time zone")
    if bounds not in ("[)", "[]", "(]", "()"):
        raise ValueError(f"bounds must be one of [) [] (] (), not {bounds!r}")
    first = start.astimezone(UTC) + (TICK if bounds[0] == "(" else timedelta(0))
    last = end.astimezone(UTC) + (TICK if bounds[1] == "]" else timedelta(0))
    return Span(first, max(first, last))


def cut(span: Span, grains: Collection[Literal["hour", "day"]], time_zone: str = "UTC") -> Window:
    """Cut ``span`` into the largest pieces that rollups of ``grains`` can answer.

    Hours are those of UTC, days those of ``time_zone``; both grains together only make sense in UTC.

    Raises:
        ValueError: both grains outside UTC.
    """
    if "hour" in grains and "day" in grains and time_zone != "UTC":
        raise ValueError("hours and days together are cut in UTC only")
    zone = ZoneInfo(time_zone)
    start, end = span.start.astimezone(UTC), span.end.astimezone(UTC)
    hours = _inner(start, end, _hour_up(start), _hour_down(end)) if "hour" in grains else Span(end, end)
    if "day" not in grains:
        return Window(
            Span(start, hours.start),
            hours,
            Span(hours.end, hours.end),
            Span(hours.end, hours.end),
            Span(hours.end, end),
        )
    days = _inner(start, end, _day_up(start, zone), _day_down(end, zone))
    if "hour" not in grains:
        return Window(
            Span(start, days.start), Span(days.start, days.start), days, Span(days.end, days.end), Span(days.end, end)
        )
    if not days:
        return Window(
            Span(start, hours.start),
            hours,
            Span(hours.end, hours.end),
            Span(hours.end, hours.end),
            Span(hours.end, end),
        )
    return Window(
        Span(start, hours.start),
        Span(hours.start, days.start),
        days,
        Span(days.end, hours.end),
        Span(hours.end, end),
    )


def _inner(start: datetime, end: datetime, first: datetime, last: datetime) -> Span:
    """[first, last) if there is anything in it, else nothing at the end of the window."""
    return Span(first, last) if start <= first < last <= end else Span(end, end)


def _hour_down(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _hour_up(moment: datetime) -> datetime:
    down = _hour_down(moment)
    return down if down == moment else down + timedelta(hours=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def _day_down(moment: datetime, zone: ZoneInfo) -> datetime:
    return _midnight(moment.astimezone(zone).date(), zone)


def _day_up(moment: datetime, zone: ZoneInfo) -> datetime:
    day = moment.astimezone(zone).date()
    down = _midnight(day, zone)
    return down if down == moment else _midnight(day + timedelta(days=1), zone)
