"""A store that has become slow is left out of answers, and copies in this process are not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tailrace.cache import Cache, CachePolicy
from tailrace.cache.worth import TOLERATED, Worth, is_worth_asking
from tailrace.events import CacheBypassed, Event
from tailrace.stores import MemoryStore
from tailrace.stores.store import Reader

POLICY = CachePolicy("p", ttl=60.0, jitter=0.0, early_refresh=0.0)


class FarStore(MemoryStore):
    """A store that others share, whose lateness and copies the test decides."""

    name = "far"
    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.late = 0.0
        self.copies = False
        self.asked: list[str] = []

    @property
    def delay(self) -> float:
        return self.late

    def peek(self, keys: Sequence[str]) -> list[bytes | None] | None:  # type: ignore[override]
        return super().peek(keys) if self.copies else None

    def reader(self, monotonic: Callable[[], float] | None = None) -> Reader:
        known = super().reader(monotonic)
        return lambda key, now=None: known(key, now) if self.copies else None

    def hold(self, *asked: object) -> None:  # type: ignore[override]
        return None

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        self.asked.append("get")
        return super().peek(keys)

    async def add(self, items: object, ttl: float) -> list[bytes]:
        self.asked.append("add")
        return await super().add(items, ttl)  # type: ignore[arg-type]

    async def set(self, items: object, ttl: float) -> None:
        self.asked.append("set")
        await super().set(items, ttl)  # type: ignore[arg-type]


async def value() -> bytes:
    return b"computed"


@pytest.mark.parametrize(
    ("delay", "cost", "worth"),
    [
        (0.0, 0.0, True),
        (TOLERATED, 0.0, True),
        (0.12, 0.0, False),
        (0.2, 0.005, False),
        (0.2, 1.9, False),
        (0.2, 2, True),
    ],
)
def test_what_a_store_is_worth(delay: float, cost: float, worth: bool) -> None:
    """A late store is asked only for what takes ten times as long to compute; a busy one always."""
    assert is_worth_asking(delay, cost) is worth


def test_costs_are_each_policys_own() -> None:
    """What one policy's answers cost says nothing about another's, and a single odd computation little."""
    store = FarStore()
    store.late = 0.2
    worth = Worth(store)
    for _ in range(50):
        worth.observe("report", 10.0)
        worth.observe("list", 0.01)
    worth.observe("report", 0.0)
    worth.observe("list", 10.0)
    assert worth.asking("report")
    assert not worth.asking("list")
    assert not worth.asking()


async def test_what_answers_cost_is_asked_until_it_is_known() -> None:
    """A process that has computed none of a policy's answers asks however late the store is, for they may be dear; the
    first one that it finds there tells what they cost, and so does the first one that it computes."""
    store = FarStore()
    await Cache(store).read_through("a", value, policy=POLICY)
    store.late = 0.2
    for ask in (
        lambda cache: cache.read_through("a", value, policy=POLICY),
        lambda cache: cache.prepare("a", policy=POLICY).find(),
        lambda cache: cache.look(["a"], policy=POLICY),
        lambda cache: cache.read_through("b", value, policy=POLICY),
    ):
        cache = Cache(store)
        store.asked.clear()
        await ask(cache)
        assert store.asked
        store.asked.clear()
        assert (await cache.read_through("c", value, policy=POLICY)).status == "bypass"
        assert store.asked == []


async def test_nobody_waits_for_a_slow_store() -> None:
    """While the store is late answers are computed without one question to it, and it is used again when it is not."""
    events: list[Event] = []
    store = FarStore()
    cache = Cache(store, observer=events.append)
    assert (await cache.read_through("a", value, policy=POLICY)).status == "miss"
    store.late = 0.2
    store.asked.clear()
    assert (await cache.read_through("a", value, policy=POLICY)).status == "bypass"
    assert await cache.look(["a"], policy=POLICY) == {}
    assert await cache.prepare("a", policy=POLICY).find() is None
    assert store.asked == []
    assert [event.reason for event in events if isinstance(event, CacheBypassed)] == ["slow"]
    store.late = 0.0
    assert (await cache.read_through("a", value, policy=POLICY)).status == "hit"


async def test_copies_serve_while_the_store_is_slow() -> None:
    """What this process holds is served from it; what it knows to be absent is computed, without lease or stamps."""
    store = FarStore()
    cache = Cache(store)
    await cache.read_through("a", value, policy=POLICY)
    store.late, store.copies = 0.2, True
    store.asked.clear()
    assert (await cache.read_through("a", value, policy=POLICY)).status == "hit"
    assert (await cache.read_through("b", value, policy=POLICY, depends_on=["t:id=1"])).status == "bypass"
    assert store.asked == []


async def test_one_computation_for_all_while_the_store_is_slow() -> None:
    """Callers of one key share the next computation that begins, as when the store is down."""
    store = FarStore()
    store.late = 0.2
    cache = Cache(store)
    cache.worth.observe(POLICY.name, 0.0)
    computed = 0

    async def slowly() -> bytes:
        nonlocal computed
        computed += 1
        await asyncio.sleep(0)
        return b"x"

    answers = await asyncio.gather(*(cache.read_through("a", slowly, policy=POLICY) for _ in range(100)))
    assert {(answer.value, answer.status) for answer in answers} == {(b"x", "bypass")}
    assert computed <= 2


async def test_a_slow_store_is_explained() -> None:
    """The explanation says that the store is late, and what lies there all the same."""
    store = FarStore()
    cache = Cache(store)
    await cache.read_through("a", value, policy=POLICY)
    store.late = 0.2
    told = await cache.prepare("a", policy=POLICY).explain()
    assert (told.outcome, told.stored) == ("bypass", True)
    assert "longer" in told.why
    store.copies = True
    assert (await cache.prepare("a", policy=POLICY).explain()).outcome == "hit"
