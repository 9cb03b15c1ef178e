"""What becomes of answers when the shared store becomes slow, and when it is quick again. A real server, and a line
that stands still for as long as the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.waiting import wait_until

from tailrace.cache import Cache, CachePolicy
from tailrace.cache.worth import TOLERATED
from tailrace.embedded import ValkeyServer
from tailrace.events import CacheBypassed, Event, StoreCalled
from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore
from tailrace.testing.line import Line

POLICY = CachePolicy("p", ttl=600.0, jitter=0.0, early_refresh=0.0)
PATIENT = ValkeySettings(timeout=20.0, connect_timeout=20.0)


@pytest.fixture
async def proxy(valkey: ValkeyServer) -> AsyncIterator[Line]:
    async with Line(valkey.port) as proxy:
        yield proxy


@pytest.fixture
def events() -> list[Event]:
    """What was reported."""
    return []


@pytest.fixture
async def store(valkey_url: str, valkey: ValkeyServer, proxy: Line, events: list[Event]) -> AsyncIterator[TieredStore]:
    """A store behind the line; its calls wait for longer than any test takes."""
    url = valkey_url.replace(f":{valkey.port}", f":{proxy.port}")
    store = TieredStore(url, valkey=PATIENT, observer=events.append)
    assert await store.connect()
    yield store
    await store.aclose()


async def value() -> bytes:
    return b"computed"


async def test_a_store_that_becomes_slow_is_left_out_until_it_is_quick(
    store: TieredStore, proxy: Line, events: list[Event]
) -> None:
    """Nobody asks a store that has become slow; copies go on serving; it is used again once it is quick, and nobody's
    request has to find that out."""
    cache = Cache(store, observer=events.append)
    await wait_until(lambda: is_held(cache, "held"))
    proxy.silent = True
    await wait_until(lambda: store.delay > TOLERATED)  # nobody has asked: the heartbeat notices
    events.clear()
    assert (await cache.read_through("held", value, policy=POLICY)).status == "hit"
    for number in range(20):
        assert (await cache.read_through(f"new {number}", value, policy=POLICY)).status == "bypass"
    assert not [event for event in events if isinstance(event, StoreCalled)]
    assert {event.reason for event in events if isinstance(event, CacheBypassed)} == {"slow"}
    proxy.silent = False
    await wait_until(lambda: store.delay <= TOLERATED)
    await wait_until(lambda: is_held(cache, "another"))


async def test_a_slow_store_takes_stamps(store: TieredStore, proxy: Line) -> None:
    """However late the store is, what was written is made known; copies of what depends on it are served no more."""
    cache = Cache(store)
    await wait_until(lambda: is_held(cache, "a", "t:id=1"))
    proxy.silent = True
    await wait_until(lambda: store.delay > TOLERATED)
    ending = asyncio.create_task(cache.invalidate(["t:id=1"]))
    await asyncio.sleep(0)
    assert cache.peek("a", policy=POLICY, depends_on=["t:id=1"]) is None  # not even while the stamps are on their way
    proxy.silent = False
    await ending
    assert cache.peek("a", policy=POLICY, depends_on=["t:id=1"]) is None


async def test_what_costs_more_than_a_slow_store_is_looked_for_there(store: TieredStore, proxy: Line) -> None:
    """An answer that takes ten times as long as the store does is read from it, and kept there."""
    cache = Cache(store)
    cache.worth.observe(POLICY.name, 1000.0)
    proxy.silent = True
    await wait_until(lambda: store.delay > TOLERATED)
    asking = asyncio.create_task(cache.read_through("dear", value, policy=POLICY))
    await asyncio.sleep(0)
    assert not asking.done()
    proxy.silent = False
    assert (await asking).status == "miss"
    assert (await cache.read_through("dear", value, policy=POLICY)).status == "hit"


async def is_held(cache: Cache, key: str, *tags: str) -> bool:
    """Ask for ``key``; true if this process holds all of it afterwards."""
    await cache.read_through(key, value, policy=POLICY, depends_on=tags)
    return cache.peek(key, policy=POLICY, depends_on=tags) is not None
