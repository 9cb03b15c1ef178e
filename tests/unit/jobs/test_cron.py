"""When a scheduled job is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.jobs.cron import Cron

MOMENTS = st.floats(0, 4e9)
EXPRESSIONS = st.sampled_from(["* * * * *", "*/5 * * * *", "0 3 * * *", "30 4 1 * *", "0 0 29 2 *", "* * * * * */10"])


@given(expression=EXPRESSIONS, now=MOMENTS)
def test_a_moment_lies_between_its_latest_tick_and_the_next(expression: str, now: float) -> None:
    """No tick is between those two, and a tick is its own latest."""
    cron = Cron(expression)
    latest, following = cron.latest(now), cron.next(now)
    assert latest <= now < following
    assert cron.next(latest) == following
    assert cron.latest(following) == following
    assert cron.latest(following - 1) == latest


@pytest.mark.parametrize("expression", ["", "hourly", "61 * * * *", "* * * *"])
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    """When the job is declared, not when it should first run."""
    with pytest.raises(ValueError, match="cron"):
        Cron(expression)
