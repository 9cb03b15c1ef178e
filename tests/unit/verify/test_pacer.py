"""The arrivals of an open loop are fixed beforehand and keep their rate."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from tailrace.verify.pacer import Pacer


def test_constant_arrivals_do_not_drift() -> None:
    """The n-th request is due at n / rate exactly, however large n is."""
    moments = list(Pacer(rate=3, duration=10_000))
    assert len(moments) == 30_000
    assert moments[29_999] == 29_999 / 3


def test_poisson_arrivals_have_the_mean_rate_and_no_rhythm() -> None:
    """Random arrivals keep the rate on average, never go back and stay below the duration."""
    moments = list(Pacer(rate=100, duration=100, jitter=Random(1)))
    assert 9_700 <= len(moments) <= 10_300
    assert moments == sorted(moments)
    assert moments[-1] < 100
    gaps = {round(b - a, 3) for a, b in itertools.pairwise(moments)}
    assert len(gaps) > 20


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (-1, 1), (1, -1)])
def test_impossible_schedules_are_refused(rate: float, duration: float) -> None:
    """A rate of 0 or time running backwards is the caller's mistake."""
    with pytest.raises(ValueError, match="rate"):
        Pacer(rate, duration)
