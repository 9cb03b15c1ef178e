"""Which entry leaves when the memory is full."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tailrace.stores.s3fifo import ENTRY_OVERHEAD, MOST_USES, SECOND_CHANCES, Entry, S3Fifo

ROOMY = 10**9


def use(cache: S3Fifo, key: str) -> bool:
    """Ask for `key`, as an owner does; True if it is held."""
    entry = cache.entries.get(key)
    if entry is None:
        return False
    entry.uses = min(MOST_USES, entry.uses + 1)
    return True


def put(cache: S3Fifo, key: str, size: int = 1) -> bool:
    return cache.insert(Entry(key, b"x" * size, 0.0))


def test_what_is_asked_for_once_leaves_before_what_is_used() -> None:
    """A scan of keys that nobody asks for again passes through without driving out those in use."""
    cache = S3Fifo(100, ROOMY)
    for number in range(50):
        put(cache, f"hot{number}")
        use(cache, f"hot{number}")
        use(cache, f"hot{number}")
    for number in range(10_000):
        put(cache, f"scan{number}")
    assert all(f"hot{number}" in cache.entries for number in range(50))


def test_a_key_that_comes_back_soon_is_kept() -> None:
    """A key that left without being used and returns while it is remembered outlives the next scan."""
    cache = S3Fifo(100, ROOMY)
    for number in range(101):
        put(cache, f"k{number}")
    assert "k0" not in cache.entries
    put(cache, "k0")
    for number in range(95):
        put(cache, f"scan{number}")
    assert "k0" in cache.entries


def test_a_value_written_again_keeps_its_standing() -> None:
    """Refreshing a key does not put it back among the newcomers."""
    cache = S3Fifo(100, ROOMY)
    put(cache, "hot")
    for number in range(200):
        use(cache, "hot")
        put(cache, f"scan{number}")
    put(cache, "hot")
    for number in range(150):
        put(cache, f"more{number}")
    assert "hot" in cache.entries


def test_what_exceeds_all_room_is_not_held_and_drives_nothing_out() -> None:
    """An entry larger than the bound is refused; an older one of its key is not left behind."""
    cache = S3Fifo(100, 10_000)
    put(cache, "small")
    put(cache, "grows")
    assert not put(cache, "grows", 20_000)
    assert set(cache.entries) == {"small"}


def test_one_write_never_goes_round_everything() -> None:
    """Even if every entry is in use, a write lets at most a fixed number stay before one leaves."""
    cache = S3Fifo(10_000, ROOMY)
    for number in range(10_000):
        put(cache, f"k{number}")
        for _ in range(MOST_USES):
            use(cache, f"k{number}")
    before = sum(entry.uses for entry in cache.entries.values())
    put(cache, "one more")
    lowered = before - sum(entry.uses for entry in cache.entries.values())
    assert lowered <= MOST_USES * (SECOND_CHANCES + 1)
    assert len(cache.entries) == 10_000


def zipf(rng: random.Random, keys: int, count: int, offset: int = 0) -> list[str]:
    weights = [1 / (rank + 1) for rank in range(keys)]
    return [f"k{offset + key}" for key in rng.choices(range(keys), weights, k=count)]


def hit_ratio(trace: list[str], room: int) -> float:
    cache = S3Fifo(room, ROOMY)
    hits = 0
    for key in trace:
        if use(cache, key):
            hits += 1
        else:
            put(cache, key)
    return hits / len(trace)


def lru_hit_ratio(trace: list[str], room: int) -> float:
    cache: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in trace:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            cache[key] = None
            if len(cache) > room:
                cache.popitem(last=False)
    return hits / len(trace)


@pytest.mark.parametrize("kind", ["stationary", "shifting", "scanned"])
def test_it_hits_more_often_than_lru(kind: str) -> None:
    """With room for a tenth of the keys S3-FIFO beats LRU on traces that stand still, move on, or are scanned."""
    rng = random.Random(7)
    trace = zipf(rng, 3000, 30_000)
    if kind == "shifting":
        trace += zipf(rng, 3000, 30_000, offset=3000)
    if kind == "scanned":
        for position in range(0, 30_000, 3000):
            trace[position:position] = [f"scan{position}-{number}" for number in range(600)]
    assert hit_ratio(trace, 300) > lru_hit_ratio(trace, 300) + 0.01


class Bounds(RuleBasedStateMachine):
    """Any sequence of operations in little room."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = S3Fifo(7, 7 * (ENTRY_OVERHEAD + 150))

    keys = st.sampled_from([f"k{number}" for number in range(20)])

    @rule(key=keys, size=st.sampled_from([0, 1, 100, 1000, 5000]))
    def insert(self, key: str, size: int) -> None:
        held = put(self.cache, key, size)
        assert held == (key in self.cache.entries)
        assert held == (size < 5000)

    @rule(key=keys)
    def use(self, key: str) -> None:
        use(self.cache, key)

    @rule(key=keys)
    def remove(self, key: str) -> None:
        before = self.cache.entries.get(key)
        assert self.cache.remove(key) is before
        assert before is None or before.value is None

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        assert self.cache.size == 0

    @invariant()
    def within_bounds_and_counted_right(self) -> None:
        cache = self.cache
        assert len(cache.entries) <= 7
        assert cache.size == sum(entry.size for entry in cache.entries.values()) <= 7 * (ENTRY_OVERHEAD + 150)
        assert {**cache._small, **cache._main} == cache.entries
        assert len(cache._small) + len(cache._main) == len(cache.entries)
        assert cache._small_bytes == sum(entry.size for entry in cache._small.values())
        assert len(cache._ghost) <= 7
        assert all(entry.key == key for key, entry in cache.entries.items())


TestBounds = Bounds.TestCase
TestBounds.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
