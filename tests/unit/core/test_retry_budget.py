"""The retry budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.retry_budget import RetryBudget

STEP = st.tuples(st.sampled_from(["call", "retry"]), st.floats(0, 5))


@given(st.lists(STEP, max_size=200), st.floats(0, 1), st.floats(0, 3), st.floats(1, 20))
def test_retries_never_exceed_their_share(
    steps: list[tuple[str, float]], ratio: float, minimum: float, reserve: float
) -> None:
    """Whatever the order and pace: granted retries <= reserve + ratio x calls + minimum x seconds."""
    budget = RetryBudget(ratio, minimum, reserve)
    now, calls, granted = 0.0, 0, 0
    for kind, pause in steps:
        now += pause
        if kind == "call":
            budget.deposit(now)
            calls += 1
        else:
            granted += budget.withdraw(now)
        assert granted <= reserve + ratio * calls + minimum * now + 1e-6
        assert 0 <= budget.balance(now) <= reserve


def test_a_total_outage_costs_a_fraction_and_not_a_multiple() -> None:
    """With every call failing and asking for 3 retries, 1,000 calls bring about 200 retries, not 3,000."""
    budget = RetryBudget(ratio=0.2, minimum_per_second=0.0, reserve=10)
    granted = 0
    for _ in range(1000):
        budget.deposit(0.0)
        granted += sum(budget.withdraw(0.0) for _ in range(3))
    assert 190 <= granted <= 210


def test_a_rare_caller_can_retry() -> None:
    """After the reserve is gone, time alone allows retries again."""
    budget = RetryBudget(ratio=0.0, minimum_per_second=0.5, reserve=1)
    assert budget.withdraw(0.0)
    assert not budget.withdraw(1.9)
    assert budget.withdraw(2.0)


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    """Time going backwards neither pays in twice nor breaks the balance."""
    budget = RetryBudget(ratio=0.0, minimum_per_second=1.0, reserve=1)
    assert budget.withdraw(100.0)
    assert not budget.withdraw(50.0)
    assert not budget.withdraw(100.5)
    assert budget.withdraw(101.0)
