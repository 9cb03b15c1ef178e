"""Cutting windows: every moment in exactly one piece."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schema.window import Span, cut, half_open

MOMENTS = st.timedeltas(timedelta(0), timedelta(days=3650)).map(lambda past: datetime(2020, 1, 1, tzinfo=UTC) + past)
LENGTHS = st.one_of(st.timedeltas(timedelta(0), timedelta(hours=3)), st.timedeltas(timedelta(0), timedelta(days=70)))
GRAINS = st.sampled_from([(), ("hour",), ("day",), ("hour", "day")])


@given(start=MOMENTS, length=LENGTHS, grains=GRAINS)
def test_pieces_touch_and_cover_the_window_once(start: datetime, length: timedelta, grains: tuple[str, ...]) -> None:
    """The pieces follow one another without gap or overlap, from the window's start to its end."""
    spans = cut(Span(start, start + length), grains).spans
    assert spans[0].start == start
    assert spans[-1].end == start + length
    for before, after in itertools.pairwise(spans):
        assert before.start <= before.end == after.start


@given(start=MOMENTS, length=LENGTHS, grains=GRAINS)
def test_whole_hours_and_days_only(start: datetime, length: timedelta, grains: tuple[str, ...]) -> None:
    """Pieces for rollups begin and end on their grain, and raw edges are shorter than the smallest grain."""
    window = cut(Span(start, start + length), grains)
    for span in (window.hours_before, window.hours_after):
        if span:
            assert not any((m.minute, m.second, m.microsecond) != (0, 0, 0) for m in (span.start, span.end))
    if window.days:
        assert all(m.timetuple()[3:6] == (0, 0, 0) and not m.microsecond for m in (window.days.start, window.days.end))
    if grains:
        smallest = timedelta(hours=1) if "hour" in grains else timedelta(days=1)
        covered = window.hours_before or window.days or window.hours_after
        for edge in (window.raw_before, window.raw_after):
            assert edge.end - edge.start < (smallest if covered else 2 * smallest)
        if grains == ("hour", "day"):
            assert all(s.end - s.start < timedelta(days=2) for s in (window.hours_before, window.hours_after))


@given(start=MOMENTS, length=LENGTHS)
def test_days_of_another_zone(start: datetime, length: timedelta) -> None:
    """Days begin at local midnight also across changes of the clock."""
    days = cut(Span(start, start + length), ("day",), "Europe/Berlin").days
    if days:
        for end in (days.start, days.end):
            assert end.astimezone(ZoneInfo("Europe/Berlin")).timetuple()[3:6] == (0, 0, 0)


def test_ends_belong_as_asked() -> None:
    """An open start and a closed end move by the microsecond in which PostgreSQL counts."""
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    assert half_open(start, end, "[)") == Span(start, end)
    assert half_open(start, end, "(]") == Span(start + tick, end + tick)
    assert half_open(start, start, "[]") == Span(start, start + tick)
    assert not half_open(end, start, "[]")
    assert not half_open(start, start, "()")


def test_times_without_a_zone_are_refused() -> None:
    """A naive time could mean any moment."""
    with pytest.raises(ValueError, match="time zone"):
        half_open(datetime(2026, 1, 1), datetime(2026, 1, 2))  # noqa: DTZ001


def test_hours_outside_utc_are_refused() -> None:
    """Elsewhere an hour of the clock comes twice a year."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="UTC"):
        cut(Span(moment, moment), ("hour", "day"), "Europe/Berlin")
