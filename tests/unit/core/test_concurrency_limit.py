"""The limit on requests at once, against a process whose capacity is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.concurrency_limit import ConcurrencyLimit

TARGET = 0.02


def limit_of(initial: int = 50) -> ConcurrencyLimit:
    return ConcurrencyLimit(initial=initial, minimum=10, maximum=1000, target=TARGET)


def settle(limit: ConcurrencyLimit, cost: float, samples: int = 2000) -> list[int]:
    """A crowd without end; each request at once keeps what is ready waiting ``cost`` seconds longer."""
    seen = []
    for _ in range(samples):
        limit.sample(limit.value * cost, wanted=True, failures=0)
        seen.append(limit.value)
    return seen


def test_settles_where_the_delay_is_the_target() -> None:
    """Under a crowd the limit finds what the process can do, from above and from below, and stays near it."""
    for initial in (10, 1000):
        for capacity in (20, 80, 400):
            last = settle(limit_of(initial), TARGET / capacity)[-200:]
            assert 0.6 * capacity <= min(last), (initial, capacity, min(last))
            assert max(last) <= 1.6 * capacity, (initial, capacity, max(last))


def test_does_not_starve_what_is_not_the_cause() -> None:
    """Where the loop is busy with something else, fewer at once would shorten nothing: the limit stays most times."""
    limit = limit_of(100)
    seen = []
    for _ in range(2000):
        limit.sample(0.06, wanted=True, failures=0)
        seen.append(limit.value)
    assert sum(value >= 100 for value in seen) > 0.85 * len(seen)
    assert min(seen) >= 45


def test_falls_as_far_as_it_helps() -> None:
    """Where it is a part of the cause, the limit falls for as long as each halving makes the delay clearly shorter."""
    limit = limit_of(400)
    seen = []
    for _ in range(2000):
        limit.sample(0.03 + limit.value * 0.0005, wanted=True, failures=0)
        seen.append(limit.value)
    last = sorted(seen[-400:])
    assert 20 <= last[200] <= 100


def test_a_burst_is_no_standing_queue() -> None:
    """A long delay that is gone by the next look changes nothing."""
    limit = limit_of()
    for _ in range(100):
        limit.sample(1.0, wanted=False, failures=0)
        limit.sample(1.0, wanted=False, failures=0)
        limit.sample(0.0, wanted=False, failures=0)
    assert limit.value == 50


def test_room_that_nobody_wants_is_not_widened() -> None:
    """Without anybody kept waiting the limit stays: there is nothing to learn from an idle process."""
    limit = limit_of()
    for _ in range(1000):
        limit.sample(0.0, wanted=False, failures=0)
    assert limit.value == 50


def test_failures_lower_the_limit() -> None:
    """A dry pool is felt before the loop is."""
    limit = limit_of(200)
    limit.sample(0.0, wanted=True, failures=3)
    assert limit.value == 190


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.floats(0, 10), st.booleans(), st.integers(0, 5)), max_size=200),
)
def test_stays_within_its_bounds(initial: int, samples: list[tuple[float, bool, int]]) -> None:
    """Whatever is seen, the limit stays between minimum and maximum, and no look takes half of it or gives thrice."""
    limit = limit_of(initial)
    for delay, wanted, failures in samples:
        before = limit.value
        limit.sample(delay, wanted=wanted, failures=failures)
        assert 10 <= limit.value <= 1000
        assert 0.69 * before - 1 <= limit.value <= max(3 * before, before + 32) + 1
