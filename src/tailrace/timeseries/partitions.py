"""Which partitions there have to be. Pure: moments and spans of time only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["ORIGIN", "Span", "due", "expired", "gaps", "span_of"]

ORIGIN = datetime(2000, 1, 3, tzinfo=UTC)
"""A Monday, from which partitions are counted: those of seven days are weeks."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From ``start`` until before ``end``."""

    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def span_of(moment: datetime, width: timedelta) -> Span:
    """The span of ``width`` that ``moment`` lies in, counted from `ORIGIN`."""
    start = ORIGIN + (moment - ORIGIN) // width * width
    return Span(start, start + width)


def gaps(wanted: Iterable[Span], existing: Iterable[Span]) -> list[Span]:
    """What of ``wanted`` no existing span holds, in order; none overlaps another."""
    found: list[Span] = []
    for span in sorted(set(wanted)):
        start = span.start
        for other in sorted([*existing, *found]):
            if other.start < span.end and other.end > start:
                if other.start > start:
                    found.append(Span(start, other.start))
                start = other.end
        if start < span.end:
            found.append(Span(start, span.end))
    return sorted(found)


def due(now: datetime, ahead: timedelta, width: timedelta) -> list[Span]:
    """Spans for every moment from ``now`` until ``ahead`` of it."""
    found = [span_of(now, width)]
    while found[-1].end <= now + ahead:
        found.append(span_of(found[-1].end, width))
    return found


def expired(spans: Iterable[Span], now: datetime, keep: timedelta | None) -> list[Span]:
    """Those that end ``keep`` ago or earlier; none without ``keep``."""
    return [] if keep is None else sorted(span for span in spans if span.end <= now - keep)
