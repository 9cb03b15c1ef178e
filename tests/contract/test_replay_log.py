"""What every log of streams promises, run against each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.waiting import wait_until

from tailrace.asgi.sse import MemoryReplayLog, Recorded, ReplayLog
from tailrace.asgi.sse.valkey_log import ValkeyReplayLog
from tailrace.errors import StoreUnavailableError
from tailrace.settings import ValkeySettings
from tailrace.stores import ValkeyStore

PATIENT = ValkeySettings(timeout=10.0, connect_timeout=10.0)


@pytest.fixture(params=["memory", "valkey"])
async def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(kind: str, request: pytest.FixtureRequest, ttl: float) -> ReplayLog:
    if kind == "memory":
        return MemoryReplayLog(ttl=ttl)
    return ValkeyReplayLog(ValkeyStore(request.getfixturevalue("valkey_url"), settings=PATIENT), ttl=ttl)


@pytest.fixture
async def log(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[ReplayLog]:
    made = make(kind, request, 300.0)
    yield made
    await made.aclose()


async def test_gives_back_what_was_added(log: ReplayLog) -> None:
    """Events come back in order, byte for byte, each stream's own; the end is told from a pause."""
    bodies = [b"data: 1\n\n", b"\0\xff\r\n", b""]
    for number, body in enumerate(bodies, 1):
        await log.append("one", number, body)
    await log.append("other", 1, b"x")
    assert await log.read("one") == Recorded(tuple(bodies), False)
    await log.end("one", 4)
    assert await log.read("one") == Recorded(tuple(bodies), True)
    assert await log.read("other") == Recorded((b"x",), False)


async def test_nothing_follows_the_end(log: ReplayLog) -> None:
    """Who goes on after another noted the end, not knowing of it, changes nothing of what is replayed."""
    await log.append("one", 1, b"x")
    await log.end("one", 2)
    with suppress(StoreUnavailableError):
        await log.append("one", 2, b"y")
    assert await log.read("one") == Recorded((b"x",), True)


async def test_knows_a_stream_that_had_no_events(log: ReplayLog) -> None:
    """One that ended at once has ended; one that nobody made is unknown."""
    await log.end("empty", 1)
    assert await log.read("empty") == Recorded((), True)
    assert await log.read("never") is None


async def test_forgets_what_it_is_told_to(log: ReplayLog) -> None:
    """A stream that was let go of is unknown, and what is added to it afterwards does not make it whole."""
    await log.append("one", 1, b"x")
    await log.forget("one")
    assert await log.read("one") is None
    await log.append("one", 2, b"y")
    assert await log.read("one") is None


async def test_keeps_nothing_for_ever(kind: str, request: pytest.FixtureRequest) -> None:
    """A stream is gone when its time is up."""
    log = make(kind, request, 0.02)
    await log.append("one", 1, b"x")

    async def gone() -> bool:
        return await log.read("one") is None

    await wait_until(gone)
    await log.aclose()


async def test_memory_is_bounded() -> None:
    """Those go first to which nothing was added for longest, and one too large for all does not stay."""
    log = MemoryReplayLog(limit=10_000)
    for number in range(100):
        await log.append(f"s{number}", 1, bytes(1_000))
        await log.append("s0", number + 2, b"")
        assert log.size <= 10_000
    assert await log.read("s99") is not None
    assert await log.read("s50") is None
    kept = await log.read("s0")
    assert kept is not None
    assert len(kept.bodies) > 90
    await log.append("large", 1, bytes(20_000))
    assert log.size == 0
