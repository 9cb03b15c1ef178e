"""The memory store against a dictionary, with the time handed in."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tailrace.settings import CacheSettings
from tailrace.stores import MemoryStore
from tailrace.stores.held import Held
from tailrace.testing.clock import FakeClock


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The outcome of a coroutine that does not wait; that it does not is part of the promise."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a memory store never waits")


class AgainstDictionary(RuleBasedStateMachine):
    """With room for everything the store is a dictionary whose keys end."""

    bounds = CacheSettings()
    exact = True

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = MemoryStore(self.bounds, clock=self.clock)
        self.model: dict[str, tuple[bytes, float]] = {}
        self.looks: list[tuple[list[str], list[bytes], float | None, Held]] = []

    keys = st.sampled_from(list("abcdefgh"))
    values = st.sampled_from([b"", b"1", b"2", b"x" * 700])
    lives = st.sampled_from([0.0, 0.5, 1.0, 60.0])

    def truth(self, key: str) -> bytes | None:
        value, deadline = self.model.get(key, (None, 0.0))
        return value if deadline > self.clock.monotonic() else None

    def agree(self, key: str, seen: bytes | None) -> None:
        assert seen == self.truth(key) or (seen is None and not self.exact)

    def remember(self, key: str, value: bytes, ttl: float) -> None:
        self.model[key] = (value, self.clock.monotonic() + max(ttl, 0.001))

    @rule(items=st.dictionaries(keys, values, max_size=4), ttl=lives)
    def set(self, items: dict[str, bytes], ttl: float) -> None:
        run(self.store.set(items, ttl))
        for key, value in items.items():
            self.remember(key, value, ttl)

    @rule(items=st.dictionaries(keys, values, max_size=4), ttl=lives)
    def add(self, items: dict[str, bytes], ttl: float) -> None:
        held = run(self.store.add(items, ttl))
        for (key, value), seen in zip(items.items(), held, strict=True):
            truth = self.truth(key)
            if truth is None:
                assert seen == value
                self.remember(key, value, ttl)
            elif self.exact or seen != value:
                assert seen == truth
            else:
                # Held all along, or evicted and added anew: it ends with the longer of the two lives at the latest.
                _, deadline = self.model[key]
                self.remember(key, value, max(ttl, deadline - self.clock.monotonic()))

    @rule(wanted=st.lists(keys, max_size=5))
    def get(self, wanted: list[str]) -> None:
        for key, seen in zip(wanted, run(self.store.get(wanted)), strict=True):
            self.agree(key, seen)

    @rule(wanted=st.lists(keys, max_size=3, unique=True))
    def delete(self, wanted: list[str]) -> None:
        count = run(self.store.delete(wanted))
        there = sum(self.truth(key) is not None for key in wanted)
        assert count == there if self.exact else count <= there
        for key in wanted:
            self.model.pop(key, None)

    @rule(key=keys, value=values)
    def release(self, key: str, value: bytes) -> None:
        done = run(self.store.release(key, value))
        assert done == (self.truth(key) == value) or (not done and not self.exact)
        if done:
            del self.model[key]

    @rule(seconds=st.sampled_from([0.001, 0.4, 0.5, 1.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.step(seconds)
        self.what_is_looked_at_again_is_the_truth()  # before anybody comes by the keys and lets go of what is over

    @rule(key=keys)
    def clear(self, key: str) -> None:
        run(self.store.clear(key))
        self.model.pop(key, None)

    @rule(wanted=st.lists(keys, min_size=1, max_size=3), by=st.sampled_from(["store", "other", "nobody"]))
    def hold(self, wanted: list[str], by: str) -> None:
        values = self.store.peek(wanted)
        told = {"store": self.clock.monotonic, "other": FakeClock(monotonic=0.0).monotonic, "nobody": None}[by]
        look = self.store.hold(wanted, values, told)
        assert (look is None) == (None in values)
        if look is not None:
            truth = [value for value in values if value is not None]
            self.looks.append((wanted, truth, 0.0 if by == "other" else None, look))
            assert self.store.hold(wanted, [*values[:-1], b"not held"], told) is None

    @invariant()
    def what_is_looked_at_again_is_the_truth(self) -> None:
        """All of it, or nothing is given; and it counts as having been asked for."""
        for keys, values, handed_in, look in self.looks:
            before = self.store.statistics().hits
            seen = look(handed_in)
            assert self.store.statistics().hits - before == (0 if seen is None else len(keys))
            if seen is not None:
                assert seen == values[0]
                assert [self.truth(key) for key in keys] == values

    @invariant()
    def reads_give_the_truth(self) -> None:
        """Readers by the time that they are given, where it is the store's, else by the store's own; then ``peek``."""
        now = self.clock.monotonic()
        for key in "abc":
            self.agree(key, self.store.reader(self.clock.monotonic)(key, now))
        for key in "de":
            self.agree(key, self.store.reader(self.clock.monotonic)(key))
        for key in "fg":
            self.agree(key, self.store.reader(FakeClock(monotonic=0.0).monotonic)(key, 0.0))
        self.agree("h", self.store.reader()("h", 0.0))
        for key in "abcdefgh":
            [seen] = self.store.peek([key])
            self.agree(key, seen)

    @invariant()
    def within_bounds(self) -> None:
        figures = self.store.statistics()
        assert figures.entries <= self.bounds.memory_entries
        assert figures.bytes <= self.bounds.memory_bytes


class AgainstDictionaryInLittleRoom(AgainstDictionary):
    """With little room a key may be missing, but a value is never another than the last one written."""

    bounds = CacheSettings(memory_entries=3, memory_bytes=2500, max_value_bytes=600)
    exact = False


TestAgainstDictionary = AgainstDictionary.TestCase
TestAgainstDictionary.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLittleRoom = AgainstDictionaryInLittleRoom.TestCase
TestLittleRoom.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_value_too_large_is_not_held_and_leaves_nothing_old() -> None:
    """A refused value is no error, and the older one of its key is not served in its place."""
    store = MemoryStore(CacheSettings(max_value_bytes=10))
    run(store.set({"a": b"old"}, 60))
    run(store.set({"a": b"x" * 11, "b": b"x" * 10}, 60))
    assert store.peek(["a", "b"]) == [None, b"x" * 10]
    assert run(store.add({"c": b"x" * 11}, 60)) == [b"x" * 11]
    assert store.peek(["c"]) == [None]


def test_expired_entries_give_their_room_back_as_others_are_written() -> None:
    """Nobody has to ask for an expired key: writing as many others returns its memory."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    run(store.set({f"old{number}": b"x" * 1000 for number in range(1000)}, 1))
    clock.step(2)
    for number in range(1000):
        run(store.set({f"new{number}": b""}, 60))
    assert store.statistics().entries == 1000


@pytest.mark.parametrize("value", [b"x", b"x" * 1000])
def test_bytes_are_counted_honestly(value: bytes) -> None:
    """What the store says it holds is at least what the interpreter has allocated for it, and not twice as much."""
    store = MemoryStore(CacheSettings(memory_entries=4_000))
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(6_000):
            run(store.set({f"key:{number}": bytes(bytearray(value))}, 60))
        gc.collect()
        allocated = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert allocated <= store.statistics().bytes <= 2 * allocated


def test_writing_one_key_again_and_again_takes_no_memory() -> None:
    """Values that were replaced or removed are let go of at once, not when their time is over."""
    store = MemoryStore()
    tracemalloc.start()
    try:
        for number in range(1_000):
            run(store.set({"a": bytes(100_000), f"b{number % 7}": bytes(100_000)}, 1e9))
            if number % 3 == 0:
                run(store.delete(["a"]))
        run(store.delete(["a", *(f"b{number}" for number in range(7))]))
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_each_life_has_its_own_epoch() -> None:
    """Two memory stores have different epochs: what one held the other never knew."""
    assert MemoryStore().epoch != MemoryStore().epoch
