from __future__ import annotations

import pytest

from tailrace.core.gcra import SECOND, Rate, parse_rate


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("100/minute", 100, 60),
        ("5/s", 5, 1),
        (" 20 / 2 minutes ", 20, 120),
        ("1000/24h", 1000, 86400),
        ("1/day", 1, 86400),
        ("3/10 seconds", 3, 10),
    ],
)
def test_a_rate_is_read_as_it_is_said(text: str, amount: int, seconds: int) -> None:
    """Amount, number and unit, in any of their usual forms."""
    rate = parse_rate(text)
    assert (rate.amount, rate.period, rate.burst) == (amount, seconds * SECOND, amount)


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "/minute", "-1/s", "1.5/s", "1/fortnight", "1/minute/2", "९/s", "1/s;"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no rate"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("amount", "period", "burst"),
    [(0, SECOND, 0), (1, 0, 0), (1, SECOND, -1), (2_000_000, SECOND, 0), (1, 86400 * SECOND, 1000)],
)
def test_a_rate_that_makes_no_sense_is_refused(amount: int, period: int, burst: int) -> None:
    """Nothing, too fast to measure, or a bucket that takes years to fill."""
    with pytest.raises(ValueError):
        Rate(amount, period, burst)


def test_an_interval_is_rounded_so_that_the_rate_is_never_exceeded() -> None:
    """7 a minute are one every 8,571,429 microseconds, not 8,571,428."""
    assert parse_rate("7/minute").interval == 8_571_429


def test_a_bucket_is_used_and_filled() -> None:
    """A burst at once, then one for each interval, and the burst again after a pause."""
    rate, arrival, now = parse_rate("60/minute", burst=3), 0, 1000 * SECOND
    admitted = []
    for second in (0, 0, 0, 0, 1, 1, 2, 10, 10, 10, 10):
        decision = rate.decide(arrival, now + second * SECOND)
        arrival = decision.arrival
        admitted.append(decision.allowed)
    assert admitted == [True, True, True, False, True, False, True, True, True, True, False]


def test_what_is_left_is_said() -> None:
    """Remaining units, time until full, and when to come again."""
    rate = parse_rate("1/s", burst=5)
    first = rate.decide(0, 0, 3)
    assert (first.remaining, first.reset, first.retry_after) == (2, 3 * SECOND, 0)
    refused = rate.decide(first.arrival, SECOND // 2, 4)
    assert (refused.allowed, refused.remaining, refused.reset) == (False, 2, 2_500_000)
    assert refused.retry_after == 1_500_000


def test_a_cost_of_nothing_only_looks() -> None:
    """Even at an empty bucket."""
    rate = parse_rate("1/s", burst=2)
    assert rate.decide(2 * SECOND, 0, 0).allowed
    assert rate.decide(2 * SECOND, 0, 0).arrival == 2 * SECOND


def test_shares_are_no_more_than_the_whole() -> None:
    """In rate and in burst, but for the one unit that each has."""
    whole = parse_rate("100/minute", burst=150)
    part = whole.shared_by(4)
    assert (part.interval, part.burst) == (4 * whole.interval, 37)
    assert parse_rate("2/minute").shared_by(4).burst == 1
