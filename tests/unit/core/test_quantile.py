from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.quantile import CEILING, FLOOR, RELATIVE_ERROR, DurationHistogram

durations = st.lists(st.floats(min_value=FLOOR, max_value=CEILING / 2), min_size=1, max_size=200)


@given(durations, st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_error_is_bounded(values: list[float], share: float) -> None:
    """A quantile is within 2 % of the exact one."""
    histogram = DurationHistogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, ceil(share * len(values)) - 1)]
    assert histogram.quantile(share) == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)


@given(durations, durations)
def test_merging_is_exact(one: list[float], two: list[float]) -> None:
    """Two histograms merged are the histogram of all values."""
    first, second, together = DurationHistogram(), DurationHistogram(), DurationHistogram()
    for value in one:
        first.record(value)
    for value in two:
        second.record(value)
    for value in one + two:
        together.record(value)
    first.merge([second])
    assert (first.counts, first.count, first.maximum) == (together.counts, together.count, together.maximum)


def test_odd_values_have_a_place() -> None:
    """Zero, negative and endless durations are counted, not lost; an empty histogram answers 0."""
    histogram = DurationHistogram()
    assert histogram.quantile(0.5) == 0.0
    for value in (0.0, -1.0, 1e9):
        histogram.record(value)
    assert histogram.count == 3
    assert histogram.quantile(1.0) == 1e9
    with pytest.raises(ValueError, match=r"0\.\.1"):
        histogram.quantile(1.5)


@given(st.lists(st.floats(-1, 2 * CEILING), max_size=200))
def test_many_at_once_count_as_one_by_one(values: list[float]) -> None:
    """Counting several durations together is counting each."""
    one, many = DurationHistogram(), DurationHistogram()
    for value in values:
        one.record(value)
    many.record_all(values)
    assert (one.counts, one.count, one.maximum) == (many.counts, many.count, many.maximum)
    assert one.total == pytest.approx(many.total)
