"""Exponential back-off with full jitter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.backoff import Backoff

UNIT = st.floats(0, 1)


@given(st.integers(0, 10_000), UNIT)
def test_a_pause_lies_between_nothing_and_its_ceiling(retry: int, random: float) -> None:
    """Full jitter: any pause from 0 up to the doubled base, never above the cap, however many retries."""
    backoff = Backoff(0.5, 20.0)
    assert 0 <= backoff.delay(retry, random) <= min(20.0, backoff.ceiling(retry))


@given(st.integers(0, 80))
def test_the_ceiling_never_falls(retry: int) -> None:
    """A later retry never has a shorter ceiling than an earlier one."""
    backoff = Backoff(0.25, 60.0)
    assert backoff.ceiling(retry) <= backoff.ceiling(retry + 1) <= 60.0


@given(st.floats(0, 1e6), UNIT)
def test_what_was_asked_for_is_never_undercut(asked: float, random: float) -> None:
    """A pause the other side asked for is a minimum; jitter comes on top."""
    assert asked <= Backoff(1.0).delay(0, random, at_least=asked) <= asked + 1.0


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_senseless_pauses_are_refused(base: float, cap: float) -> None:
    """A base of nothing, or above the cap, is a mistake and says so."""
    with pytest.raises(ValueError, match="base"):
        Backoff(base, cap)
