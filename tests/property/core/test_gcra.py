"""The rate limiter against the plain definition of a token bucket, over random histories."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.gcra import SECOND, Rate

rates = st.builds(
    Rate,
    st.integers(1, 5000),
    st.sampled_from([SECOND, 7 * SECOND, 60 * SECOND, 3600 * SECOND]),
    st.integers(1, 300),
)
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.integers(0, 100 * SECOND), st.integers(-100 * SECOND, 0)),
        st.integers(1, 5),
    ),
    max_size=60,
)


class Bucket:
    """A bucket of fractional units that is refilled by every microsecond that the clock goes forward."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.units = Fraction(rate.burst)
        self.now = 0

    def step(self, now: int) -> None:
        forward = max(0, now - self.now)
        self.units = min(Fraction(self.rate.burst), self.units + Fraction(forward, self.rate.interval))
        self.now = now

    def take(self, cost: int) -> bool:
        if self.units < cost:
            return False
        self.units -= cost
        return True


@given(rates, steps)
def test_it_is_a_token_bucket(rate: Rate, history: list[tuple[int, int]]) -> None:
    """While time goes forward, each request is decided as a bucket of tokens would decide it."""
    bucket, arrival, now = Bucket(rate), 0, 10**9
    bucket.now = now
    for step, cost in history:
        now += abs(step)
        bucket.step(now)
        decision = rate.decide(arrival, now, cost)
        arrival = decision.arrival
        assert decision.allowed == bucket.take(cost)
        assert decision.remaining == int(bucket.units)


@given(rates, steps)
def test_never_above_rate_times_window_plus_burst(rate: Rate, history: list[tuple[int, int]]) -> None:
    """Between any two moments of a history no more is admitted than the burst and what flowed in while the clock went
    forward, however it is set forward and back."""
    arrival, now, forward = 0, 10**12, 0
    admitted: list[tuple[int, int]] = []  # forward time of each admission, units
    for step, cost in history:
        now += step
        forward += max(0, step)
        decision = rate.decide(arrival, now, cost)
        arrival = decision.arrival
        if decision.allowed:
            admitted.append((forward, cost))
    for first, (began, _) in enumerate(admitted):
        units = 0
        for ended, cost in admitted[first:]:
            units += cost
            flowed_in = Fraction((ended - began) * rate.amount, rate.period)
            assert units <= rate.burst + flowed_in


@given(rates, steps, st.integers(1, 300))
def test_retry_after_is_exact(rate: Rate, history: list[tuple[int, int]], cost: int) -> None:
    """A microsecond before it the same request is refused, at it admitted."""
    arrival, now = 0, 10**12
    for step, spent in history:
        now += step
        arrival = rate.decide(arrival, now, spent).arrival
    cost = min(cost, rate.burst)
    refused = rate.decide(arrival, now, cost)
    if refused.allowed:
        assert refused.retry_after == 0
        return
    assert refused.retry_after >= 1
    assert not rate.decide(refused.arrival, now + refused.retry_after - 1, cost).allowed
    assert rate.decide(refused.arrival, now + refused.retry_after, cost).allowed


@given(rates, steps, st.integers(0, 10**9))
def test_a_clock_set_back_makes_nobody_wait_for_long(rate: Rate, history: list[tuple[int, int]], back: int) -> None:
    """However far: one unit is there after an interval at the latest."""
    arrival, now = 0, 10**12
    for step, cost in history:
        now += abs(step)
        arrival = rate.decide(arrival, now, cost).arrival
    decision = rate.decide(arrival, now - back * SECOND // 1000)
    assert decision.retry_after <= rate.interval


@given(rates, st.integers(0, 10**9), st.integers(1, 5), st.integers(1, 500))
def test_what_is_granted_in_advance_is_there(rate: Rate, backlog: int, cost: int, most: int) -> None:
    """A slice is never more than what a request of its size would be allowed, and nothing if that is too little."""
    now = 10**12
    arrival = now + backlog
    taken, after = rate.grant(arrival, now, cost, most)
    there = rate.decide(arrival, now, 0).remaining
    if taken:
        assert cost <= taken <= max(cost, min(most, there // 2))
        assert rate.decide(arrival, now, taken).arrival == after
    else:
        assert there < cost
