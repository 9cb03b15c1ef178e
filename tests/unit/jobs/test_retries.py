"""Whether and when a job is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.backoff import Backoff
from tailrace.errors import DatabaseUnavailableError, UpstreamRejectedError
from tailrace.jobs.retries import Change, Retries, failures

CHANGES = st.lists(st.sampled_from(["queued", "begun", "failed", "given_back"]))


@given(failed=st.integers(1, 20), random=st.floats(0, 1))
def test_pauses_double_with_full_jitter_until_attempts_are_used_up(failed: int, random: float) -> None:
    """A pause is a share of a ceiling that doubles; after the last attempt there is none."""
    retries = Retries(attempts=10, backoff=Backoff(base=2.0, cap=60.0))
    delay = retries.delay(failed, ValueError(), random)
    assert delay == (None if failed >= 10 else pytest.approx(min(60.0, 2.0**failed) * random))


def test_errors_that_no_repetition_mends_end_a_job_at_once() -> None:
    """What was rejected is rejected again."""
    retries = Retries(never_after=(UpstreamRejectedError,))
    assert retries.delay(1, UpstreamRejectedError("no", answered=404), 0.5) is None
    assert retries.delay(1, ValueError(), 0.5) == 1.0


def test_an_error_that_says_when_to_come_again_is_heeded() -> None:
    """Whoever was told a moment comes at it or later."""
    assert Retries().delay(1, DatabaseUnavailableError("down", retry_after=30), 0.5) == 31.0


def test_a_job_is_attempted_at_least_once() -> None:
    """No attempt at all is a mistake."""
    with pytest.raises(ValueError, match="at least once"):
        Retries(attempts=0)


@given(before=CHANGES, attempts=st.lists(st.sampled_from(["failed", "given_back", "lost"])))
def test_failures_are_counted_since_the_job_was_put_into_the_queue(before: list[Change], attempts: list[str]) -> None:
    """Failed and lost attempts count; those given back, and all before the job was put back by hand, do not."""
    history: list[Change] = [*before, "queued"]
    for outcome in attempts:
        history.append("begun")
        if outcome == "failed" or outcome == "given_back":
            history.append(outcome)
    assert failures([*history, "begun"]) == sum(outcome != "given_back" for outcome in attempts)
