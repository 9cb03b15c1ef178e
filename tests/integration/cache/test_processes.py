"""Two processes' caches on one Valkey: one computation between them, and none held up for long by a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from tests.waiting import wait_until

from tailrace.cache import Cache, CachePolicy, Uncacheable
from tailrace.cache.fill import APART
from tailrace.settings import CacheSettings, ValkeySettings
from tailrace.stores import Store, TieredStore, ValkeyStore

POLICY = CachePolicy("shared", ttl=60)
PATIENT = ValkeySettings(timeout=10.0, connect_timeout=10.0)
ADDRESS: dict[Cache, str] = {}


@pytest.fixture(params=[ValkeyStore, TieredStore])
async def caches(request: pytest.FixtureRequest, valkey_url: str) -> AsyncIterator[tuple[Cache, Cache]]:
    """Two caches with connections of their own, with and without copies in the process."""
    option = "settings" if request.param is ValkeyStore else "valkey"
    stores: list[Store] = [request.param(valkey_url, **{option: PATIENT}) for _ in range(2)]
    made = [Cache(store, settings=CacheSettings(lease=3600.0)) for store in stores]
    for store in stores:
        assert await store.connect()
    ADDRESS.update(dict.fromkeys(made, valkey_url))
    yield made[0], made[1]
    ADDRESS.clear()
    for cache, store in zip(made, stores, strict=True):
        await cache.aclose()
        await store.aclose()


class Computation:
    """Counts how often it ran; takes as long as it is told."""

    def __init__(self, turns: int = 200) -> None:
        self.runs = 0
        self.turns = turns

    async def __call__(self) -> bytes:
        self.runs += 1
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return b"value"


async def test_a_thousand_cold_readers_on_two_processes_compute_once(caches: tuple[Cache, Cache]) -> None:
    """One process computes under a lease, the other takes what it stored."""
    compute = Computation()
    reads = [caches[n % 2].read_through("k", compute, policy=POLICY, depends_on=["t"]) for n in range(1000)]
    answers = await asyncio.gather(*reads)
    assert compute.runs == 1
    assert {answer.value for answer in answers} == {b"value"}
    assert sum(answer.status == "miss" for answer in answers) == 1


@pytest.mark.parametrize("gone", [False, True])
async def test_who_looked_too_early_and_leads_too_late_looks_again(
    caches: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    """All of one process's computation falls between the other's look and its lease; what is there again is used."""
    one, two = caches
    compute, asking, ended = Computation(0), asyncio.Event(), asyncio.Event()
    add = two.store.add

    async def late(*arguments: Any) -> Any:
        asking.set()
        await ended.wait()
        return await add(*arguments)

    monkeypatch.setattr(two.store, "add", late, raising=True)
    early = asyncio.create_task(two.read_through("k", compute, policy=POLICY, depends_on=["t"]))
    await asking.wait()
    assert (await one.read_through("k", compute, policy=POLICY, depends_on=["t"])).status == "miss"
    await one.aclose()  # its lease has ended
    if gone:
        assert await one.forget("k")
    ended.set()
    answer = await early
    assert (answer.status, compute.runs) == (("miss", 2) if gone else ("collapsed", 1))
    assert answer.value == b"value"


async def test_a_bump_on_one_process_ends_the_answer_on_the_other(caches: tuple[Cache, Cache]) -> None:
    """After a fence at the latest."""
    one, two = caches
    compute = Computation(0)
    for _ in range(2):
        await one.read_through("k", compute, policy=POLICY, depends_on=["t"])
        await two.read_through("k", compute, policy=POLICY, depends_on=["t"])
    assert compute.runs == 1
    await one.invalidate(["t"])
    await two.store.fence()
    assert (await two.read_through("k", compute, policy=POLICY, depends_on=["t"])).status == "miss"
    assert compute.runs == 2


async def test_a_process_that_dies_while_computing_delays_by_its_lease_only(caches: tuple[Cache, Cache]) -> None:
    """The other one answers its client, and stores what it computed."""
    one, two = (Cache(cache.store, settings=CacheSettings(lease=0.5)) for cache in caches)
    started = asyncio.Event()

    async def never() -> bytes:
        started.set()
        await asyncio.Event().wait()
        return b""

    dying = asyncio.create_task(one.read_through("k", never, policy=POLICY, depends_on=["t"]))
    await started.wait()
    await one.store.aclose()  # it can no longer give its lease back, as if it had been killed
    compute = Computation(0)
    async with asyncio.timeout(10):
        answer = await two.read_through("k", compute, policy=POLICY, depends_on=["t"])
    assert answer.value == b"value"
    assert (await two.read_through("k", compute, policy=POLICY, depends_on=["t"])).status == "hit"
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    await asyncio.gather(one.aclose(), two.aclose())


async def test_what_is_not_kept_makes_nobody_wait_for_ever(caches: tuple[Cache, Cache]) -> None:
    """The lease is given back after a computation that stores nothing, so the other process goes on."""

    async def private() -> Uncacheable:
        return Uncacheable(b"mine")

    reads = [cache.read_through("k", private, policy=POLICY, depends_on=["t"]) for cache in caches]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*reads)
    assert [answer.value for answer in answers] == [b"mine", b"mine"]


async def test_what_cannot_be_shared_is_computed_side_by_side(caches: tuple[Cache, Cache]) -> None:
    """Once an answer has turned out not to be for others, those who waited for it compute at once and together, in
    every process; none waits for another's lease. As many as is good for the source, and no more."""
    running = most = 0

    async def private() -> Uncacheable:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(500):
            await asyncio.sleep(0)
        running -= 1
        return Uncacheable(b"mine")

    async with asyncio.timeout(10):
        reads = [
            cache.read_through("k", private, policy=POLICY, depends_on=["t"]) for cache in caches for _ in range(30)
        ]
        answers = await asyncio.gather(*reads)
    assert {answer.value for answer in answers} == {b"mine"}
    assert APART <= most <= 2 * APART + 1
    assert not any(len(cache._flights._filling._apart) for cache in caches)


async def test_a_client_that_leaves_at_any_moment_leaves_no_lease_behind(caches: tuple[Cache, Cache]) -> None:
    """Cancelled while the lease is being taken, while computing, or after: nobody waits for it to expire."""
    one, two = caches
    for turns in (0, 1, 2, 3, 5, 8, None):
        key = f"k{turns}"
        compute = Computation()
        leaving = asyncio.create_task(one.read_through(key, compute, policy=POLICY, depends_on=["t"]))
        if turns is None:
            await leaving
        else:
            while turns and not compute.runs:  # up to here the lease is on its way
                await asyncio.sleep(0)
            for _ in range(turns * 20):
                await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await until_no_lease(one, key)
        answer = await two.read_through(key, Computation(0), policy=POLICY, depends_on=["t"])
        assert answer.value == b"value"


async def test_a_client_that_leaves_while_the_lease_is_on_its_way_leaves_none(caches: tuple[Cache, Cache]) -> None:
    """Cancelled later and later, until its computation had begun."""
    one, two = caches
    turns, computing = 0, False
    while not computing:
        key, compute = f"k{turns}", Computation()
        leaving = asyncio.create_task(one.read_through(key, compute, policy=POLICY, depends_on=["t"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        computing = bool(compute.runs)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await until_no_lease(one, key)
        assert (await two.read_through(key, Computation(0), policy=POLICY, depends_on=["t"])).value == b"value"
        turns += 1 + turns // 4


async def test_a_process_that_is_closed_gives_its_leases_back(caches: tuple[Cache, Cache]) -> None:
    """A deployment delays nobody: what was being refreshed is free for others at once."""
    one, _ = caches
    policy = CachePolicy("short", ttl=0.01, stale_while_revalidate=60, jitter=0, early_refresh=0)
    await one.read_through("k", Computation(0), policy=policy, depends_on=["t"])
    started = asyncio.Event()

    async def never() -> bytes:
        started.set()
        await asyncio.Event().wait()
        return b""

    async def has_grown_old() -> bool:
        return (await one.read_through("k", never, policy=policy, depends_on=["t"])).status == "stale"

    await wait_until(has_grown_old)
    await started.wait()
    await one.aclose()
    assert await leases(one, "k") == 0


async def leases(cache: Cache, key: str) -> int:
    """How many lease keys of ``key`` the server holds."""
    reader = ValkeyStore(ADDRESS[cache], settings=PATIENT)
    try:
        held = [name async for names in reader.scan(cache.keyspace.root) for name in names]
    finally:
        await reader.aclose()
    return sum(b":l:" in name and name.endswith(b":" + key.encode()) for name in held)


async def until_no_lease(cache: Cache, key: str) -> None:
    """Return when it was given back, which is long before it would expire."""

    async def is_free() -> bool:
        return await leases(cache, key) == 0

    await wait_until(is_free)


async def test_an_answer_does_not_wait_until_it_is_stored(
    caches: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever computed it has it at once; another process waits for what is on its way instead of computing it."""
    one, two = caches
    compute, opened, write = Computation(0), asyncio.Event(), one.store.set

    async def held_up(items: Mapping[str, bytes], ttl: float) -> None:
        await opened.wait()
        await write(items, ttl)

    monkeypatch.setattr(one.store, "set", held_up)
    assert (await one.read_through("k", compute, policy=POLICY, depends_on=["t"])).status == "miss"
    other = asyncio.create_task(two.read_through("k", compute, policy=POLICY, depends_on=["t"]))
    opened.set()
    assert (await other).status == "collapsed"
    assert compute.runs == 1


async def test_who_asks_again_at_once_finds_what_is_being_stored(caches: tuple[Cache, Cache]) -> None:
    """The entry takes its place on the connection before the answer is there, in the caller's own task as well."""
    one, _ = caches
    for key, read in (("k", one.read_through), ("l", one.read_in_place)):
        compute = Computation(0)
        answers = [await read(key, compute, policy=POLICY, depends_on=["t"]) for _ in range(2)]
        assert [answer and answer.status for answer in answers] == ["miss", "hit"]
        assert compute.runs == 1


async def test_what_is_on_its_way_is_stored_when_the_cache_closes(
    caches: tuple[Cache, Cache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends leaves its last answers and no lease behind."""
    one, two = caches
    write = one.store.set

    async def slow(items: Mapping[str, bytes], ttl: float) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        await write(items, ttl)

    monkeypatch.setattr(one.store, "set", slow)
    compute = Computation(0)
    await one.read_through("k", compute, policy=POLICY, depends_on=["t"])
    await one.aclose()
    assert (await two.read_through("k", compute, policy=POLICY, depends_on=["t"])).status == "hit"
