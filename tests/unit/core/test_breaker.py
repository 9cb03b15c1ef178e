"""The circuit breaker's decisions."""

from __future__ import annotations

import pytest

from tailrace.core.breaker import Breaker, BreakerPolicy, Outcome

POLICY = BreakerPolicy(window=10, buckets=10, minimum_calls=4, failure_rate=0.5, open_for=5, trials=2)


def call(breaker: Breaker, outcome: Outcome, now: float, duration: float = 0.0) -> bool:
    """One call that begins and ends at ``now``; whether it was allowed."""
    admission = breaker.admit(now)
    if admission.allowed:
        breaker.record(admission.generation, outcome, duration, now)
    return admission.allowed


def opened(now: float = 0.0, policy: BreakerPolicy = POLICY) -> Breaker:
    """A breaker that opened at ``now``."""
    breaker = Breaker(policy)
    for _ in range(policy.minimum_calls):
        call(breaker, "failed", now)
    assert breaker.state == "open"
    return breaker


def test_too_few_calls_never_open() -> None:
    """Below the minimum of calls, even nothing but failures leaves the circuit closed."""
    breaker = Breaker(POLICY)
    for _ in range(3):
        call(breaker, "failed", 0.0)
    assert breaker.state == "closed"


def test_the_failure_rate_opens() -> None:
    """At the rate, not before it."""
    breaker = Breaker(POLICY)
    for outcome in ("ok", "ok", "ok", "failed", "failed"):
        call(breaker, outcome, 0.0)  # type: ignore[arg-type]
    assert breaker.state == "closed"
    call(breaker, "failed", 0.0)
    assert breaker.state == "open"


def test_an_outage_after_a_busy_healthy_time_is_noticed() -> None:
    """Failures in a row open the circuit although the window is full of successes; a success between them resets."""
    breaker = Breaker(BreakerPolicy(consecutive=5))
    for _ in range(1000):
        call(breaker, "ok", 0.0)
    for outcome in ("failed", "failed", "failed", "failed", "ok", "failed", "failed", "failed", "failed", "abandoned"):
        call(breaker, outcome, 0.0)  # type: ignore[arg-type]
    assert breaker.state == "closed"
    call(breaker, "failed", 0.0)
    assert breaker.state == "open"


def test_old_failures_are_forgotten() -> None:
    """Failures that left the window count no more."""
    breaker = Breaker(POLICY)
    for _ in range(3):
        call(breaker, "failed", 0.0)
    call(breaker, "failed", 11.0)
    assert breaker.state == "closed"


def test_failures_spread_over_the_window_count_together() -> None:
    """The window slides: what lies in different buckets is added up."""
    breaker = Breaker(POLICY)
    for now in (0.0, 3.0, 6.0, 9.0):
        call(breaker, "failed", now)
    assert breaker.state == "open"


def test_open_refuses_and_says_for_how_long() -> None:
    """An open circuit lets nothing through, and tells when to come back."""
    breaker = opened(100.0)
    admission = breaker.admit(102.0)
    assert not admission.allowed
    assert admission.retry_after == pytest.approx(3.0)
    assert breaker.refusal(102.0) == pytest.approx(3.0)
    assert breaker.refusal(105.0) is None


def test_half_open_lets_only_the_trials_through() -> None:
    """While the trials are under way, everybody else is refused."""
    breaker = opened()
    assert [breaker.admit(5.0).allowed for _ in range(5)] == [True, True, False, False, False]
    assert breaker.state == "half_open"


def test_good_trials_close_and_begin_with_a_clean_window() -> None:
    """After the trials succeed, the failures of before are not held against the service."""
    breaker = opened()
    call(breaker, "ok", 5.0)
    assert breaker.state == "half_open"
    call(breaker, "ok", 5.0)
    assert breaker.state == "closed"
    call(breaker, "failed", 5.0)
    assert breaker.state == "closed"


def test_one_bad_trial_opens_for_a_whole_period_again() -> None:
    """A failed trial starts the open period anew."""
    breaker = opened()
    call(breaker, "failed", 5.0)
    assert breaker.state == "open"
    assert not call(breaker, "ok", 9.9)
    assert call(breaker, "ok", 10.0)


def test_an_abandoned_trial_gives_its_place_back() -> None:
    """A trial whose caller left proves nothing; without its place back, the circuit could never close."""
    breaker = opened()
    for _ in range(10):
        assert call(breaker, "abandoned", 5.0)
    assert breaker.state == "half_open"


def test_late_results_of_an_earlier_state_are_ignored() -> None:
    """A call admitted while closed that fails during half-open does not open the circuit again."""
    breaker = Breaker(POLICY)
    early = breaker.admit(0.0)
    for _ in range(4):
        call(breaker, "failed", 0.0)
    trial = breaker.admit(5.0)
    breaker.record(early.generation, "failed", 5.0, 5.0)
    assert breaker.state == "half_open"
    breaker.record(trial.generation, "ok", 0.0, 5.0)
    call(breaker, "ok", 5.0)
    assert breaker.state == "closed"


def test_slow_calls_open_although_they_succeed() -> None:
    """A service that answers everything too late is as good as down."""
    breaker = Breaker(BreakerPolicy(minimum_calls=4, slow_call=1.0, slow_rate=0.75))
    for duration in (2.0, 2.0, 0.1, 2.0):
        call(breaker, "ok", 0.0, duration)
    assert breaker.state == "open"


def test_callers_who_give_up_on_a_slow_service_count() -> None:
    """A hanging service whose callers always leave first must not look healthy."""
    breaker = Breaker(BreakerPolicy(minimum_calls=4, slow_call=1.0, slow_rate=0.75))
    for _ in range(4):
        call(breaker, "abandoned", 0.0, 1.5)
    assert breaker.state == "open"


def test_callers_who_leave_early_say_nothing() -> None:
    """A cancelled call that was not slow yet is not counted at all."""
    breaker = Breaker(POLICY)
    for _ in range(100):
        call(breaker, "abandoned", 0.0)
    for _ in range(3):
        call(breaker, "failed", 0.0)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 0},
        {"buckets": 0},
        {"trials": 0},
        {"consecutive": 0},
        {"failure_rate": 0},
        {"slow_rate": 1.5},
        {"open_for": -1},
    ],
)
def test_senseless_policies_are_refused(wrong: dict[str, float]) -> None:
    """A policy that could never open or never close says so at once."""
    with pytest.raises(ValueError, match="breaker"):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]
