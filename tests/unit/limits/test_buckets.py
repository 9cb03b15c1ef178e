"""Buckets by caller: bounded, and not forgotten to a busy caller's advantage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.gcra import parse_rate
from tailrace.limits import Claim, Limit, MemoryLimiter
from tailrace.limits.buckets import Buckets
from tailrace.testing.clock import FakeClock

PER_MINUTE = Limit("general", parse_rate("100/minute"))


def test_idle_buckets_are_removed_as_others_come() -> None:
    """After a crowd has left, each newcomer removes two of its buckets, until only those in use are there."""
    clock = FakeClock()
    limiter = MemoryLimiter(clock=clock)
    for number in range(1000):
        limiter.decide(PER_MINUTE, f"early {number}")
    clock.step(1.0)
    for number in range(500):
        limiter.decide(PER_MINUTE, f"late {number}")
    assert limiter.held <= 501


def test_invented_callers_do_not_grow_the_table() -> None:
    """Whoever makes up a new caller for each request fills no more than the room there is."""
    limiter = MemoryLimiter(most=1000, clock=FakeClock())
    for number in range(20_000):
        limiter.decide(PER_MINUTE, str(number))
    assert limiter.held == 1000
    assert limiter.evictions == 19_000


def test_an_attack_with_invented_callers_gives_a_busy_caller_nothing() -> None:
    """Who has used up its limit stays refused while others crowd the table, and is never admitted beyond its rate."""
    clock = FakeClock()
    limiter = MemoryLimiter(most=64, clock=clock)
    admitted = sum(limiter.decide(PER_MINUTE, "busy").allowed for _ in range(150))
    for number in range(5000):
        limiter.decide(PER_MINUTE, f"invented {number}")
        admitted += limiter.decide(PER_MINUTE, "busy").allowed
        clock.step(0.001)
    assert admitted <= 100 + int(5.0 / 0.6) + 1


def test_an_attack_costs_a_newcomer_little() -> None:
    """A caller that comes while the table is crowded still has nearly all of its burst."""
    limiter = MemoryLimiter(most=64, clock=FakeClock())
    for number in range(5000):
        limiter.decide(PER_MINUTE, f"invented {number}")
    assert sum(limiter.decide(PER_MINUTE, "honest").allowed for _ in range(150)) >= 95


def test_there_is_always_room_for_a_sample() -> None:
    """The least bound is what one eviction looks at."""
    buckets = Buckets(1)
    for number in range(100):
        buckets.add(str(number), number + 1, 0)
    assert len(buckets.arrivals) == 8
    assert buckets.evictions == 92


@given(st.lists(st.integers(1, 1000), min_size=30, max_size=60, unique=True))
def test_the_busiest_bucket_is_never_the_one_to_go(backlogs: list[int]) -> None:
    """Whatever comes, in whatever order: it is in the table as long as others with less in theirs are looked at too."""
    buckets = Buckets(20)
    for backlog in backlogs:
        buckets.add(str(backlog), backlog, 0)
    assert str(max(backlogs)) in buckets.arrivals
    assert len(buckets.arrivals) == 20


def test_several_limits_are_all_or_nothing() -> None:
    """What one of them refuses takes nothing from the others."""
    limiter = MemoryLimiter(clock=FakeClock())
    narrow = Limit("narrow", parse_rate("1/minute"))
    claims = [Claim(PER_MINUTE, "a"), Claim(narrow, "a")]
    assert limiter.take_now(claims).allowed
    refused = limiter.take_now(claims)
    assert [decision.allowed for decision in refused.decisions if decision] == [True, False]
    assert limiter.decide(PER_MINUTE, "a", 0).remaining == 99
