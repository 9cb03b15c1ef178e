"""What callers see when the server or the line to it fails: an error at once or in time, never a wait without end, and
the store back in use as soon as the server is."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from tests.integration.stores.conftest import Send
from tests.listening import listening
from tests.waiting import wait_until

from tailrace.embedded import ValkeyServer
from tailrace.errors import StoreUnavailableError
from tailrace.events import Event, StoreCalled, StoreConnectionChanged
from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore, ValkeyStore
from tailrace.testing.line import Line

# Long enough for a busy machine, short enough for a test that waits for it on purpose.
QUICK = ValkeySettings(timeout=0.5, connect_timeout=5.0, reconnect_max_delay=0.05)

Client = ValkeyStore | TieredStore


def make(kind: str, url: str, settings: ValkeySettings = QUICK, observe: list[Event] | None = None) -> Client:
    observer = None if observe is None else observe.append
    if kind == "valkey":
        return ValkeyStore(url, settings=settings, observer=observer)
    return TieredStore(url, valkey=settings, observer=observer)


@pytest.fixture
def events() -> list[Event]:
    """What the store under test has reported."""
    return []


def losses(events: list[Event]) -> int:
    """How often the connection was lost; the moment itself may be over before anybody looks."""
    return sum(isinstance(event, StoreConnectionChanged) and not event.connected for event in events)


@pytest.fixture(params=["valkey", "tiered"])
async def store(request: pytest.FixtureRequest, valkey_url: str, events: list[Event]) -> AsyncIterator[Client]:
    store = make(request.param, valkey_url, observe=events)
    assert await store.connect()
    yield store
    await store.aclose()


@pytest.fixture(params=["valkey", "tiered"])
async def patient(request: pytest.FixtureRequest, valkey_url: str) -> AsyncIterator[Client]:
    """A store for tests that are about numbers, not about time."""
    store = make(request.param, valkey_url, ValkeySettings(timeout=20.0))
    assert await store.connect()
    yield store
    await store.aclose()


@pytest.fixture(params=["valkey", "tiered"])
async def far(request: pytest.FixtureRequest, proxied_url: str, events: list[Event]) -> AsyncIterator[Client]:
    """A store behind the proxy."""
    store = make(request.param, proxied_url, observe=events)
    assert await store.connect()
    yield store
    await store.aclose()


async def usable(store: Client) -> bool:
    try:
        await store.get(["probe"])
    except StoreUnavailableError:
        return False
    return True


async def refused_at_once(store: Client) -> bool:
    """True if a call fails without waiting for anything outside the process."""
    turns = 0
    call = asyncio.ensure_future(store.get(["a"]))
    while not call.done() and turns < 5:
        await asyncio.sleep(0)
        turns += 1
    refused = call.done() and isinstance(call.exception(), StoreUnavailableError)
    await asyncio.gather(call, return_exceptions=True)
    return refused


async def test_a_restart_is_survived_under_another_epoch(store: Client, valkey: ValkeyServer) -> None:
    """After a restart calls succeed again by themselves, copies are gone, and the epoch is another one."""
    await store.set({"a": b"1"}, 60)
    await store.get(["a"])
    before = store.epoch
    await asyncio.to_thread(valkey.kill)
    await wait_until(lambda: store.epoch is None)
    assert await refused_at_once(store)
    assert store.peek(["a"]) is None
    await asyncio.to_thread(valkey.start)
    await wait_until(lambda: usable(store))
    assert store.epoch not in (None, before)
    assert await store.get(["a"]) == [None]
    assert not await store.release("a", b"1"), "the script must be found by a server that never saw it"


async def test_calls_under_way_end_when_the_server_dies(store: Client, valkey: ValkeyServer) -> None:
    """A call that waits when the connection is lost fails then, not at its time limit."""
    process = server_process(valkey)
    os.kill(process, signal.SIGSTOP)
    calls = [asyncio.ensure_future(store.get(["a"])) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.to_thread(valkey.kill)
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
    assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)


def server_process(valkey: ValkeyServer) -> int:
    assert valkey.pid is not None
    return valkey.pid


async def test_a_hung_server_costs_one_time_limit(store: Client, valkey: ValkeyServer) -> None:
    """While the server hangs the first call fails in time, the next at once; `peek` trusts nothing; it heals itself."""
    await store.set({"a": b"1"}, 60)
    await store.get(["a"])
    process = server_process(valkey)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError, match="in time"):
            await store.get(["a"])
        assert store.peek(["a"]) is None
        assert await refused_at_once(store)
        # A hang longer than its patience makes the store give the connection up.
        await wait_until(lambda: store.epoch is None)
        assert await refused_at_once(store)
    finally:
        os.kill(process, signal.SIGCONT)
    await wait_until(lambda: usable(store))
    assert await store.get(["a"]) == [b"1"]


async def test_a_pause_is_forgiven(store: Client, valkey: ValkeyServer) -> None:
    """A server that hangs for less than the store's patience answers on the same connection afterwards."""
    process = server_process(valkey)
    identity = store.epoch
    changes: list[str | None] = []
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError):
            await store.get(["a"])
    finally:
        os.kill(process, signal.SIGCONT)

    async def usable_again() -> bool:
        changes.append(store.epoch)
        return await usable(store)

    await wait_until(usable_again)
    assert set(changes) <= {identity}


async def test_late_replies_are_never_taken_for_others(far: Client, proxy: Line) -> None:
    """Replies that come after their callers gave up are dropped; every later answer belongs to its question."""
    names = [f"k{number}" for number in range(50)]
    await far.set({name: name.encode() for name in names}, 60)
    wrong: list[tuple[str, object]] = []
    counts = {"answered": 0, "refused": 0}

    async def ask(name: str) -> None:
        try:
            answer = await far.get([name])
        except StoreUnavailableError:
            counts["refused"] += 1
        else:
            counts["answered"] += 1
            if answer != [name.encode()]:
                wrong.append((name, answer))

    for round_number in range(30):
        proxy.delay = (0.0, 0.6, 0.45, 0.0, 0.9)[round_number % 5]
        calls = [asyncio.ensure_future(ask(name)) for name in names]
        await asyncio.sleep(0)
        if round_number % 3 == 0:
            for call in calls[::7]:
                call.cancel()
        if round_number % 2:
            await asyncio.gather(*calls, return_exceptions=True)
        else:
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    proxy.delay = 0.0
    await wait_until(lambda: usable(far))
    await asyncio.gather(*map(ask, names))
    assert not wrong
    assert counts["answered"] >= len(names)
    assert counts["refused"] > 0


async def test_a_cut_line_is_mended(far: Client, proxy: Line, events: list[Event]) -> None:
    """A connection that is reset is replaced, however often."""
    for number in range(1, 6):
        await wait_until(lambda: usable(far))
        proxy.cut()
        await wait_until(lambda number=number: losses(events) == number)
    await wait_until(lambda: usable(far))


async def test_a_pulled_cable_is_noticed_by_nobody_asking(far: Client, proxy: Line) -> None:
    """A line that falls silent without a word is given up although no call is made."""
    proxy.silent = True
    await wait_until(lambda: far.epoch is None)
    assert far.peek(["a"]) is None
    proxy.silent = False
    await wait_until(lambda: usable(far))


async def test_a_killed_client_comes_back(store: Client, send: Send, events: list[Event]) -> None:
    """`CLIENT KILL` costs the calls under way and nothing more."""
    for number in range(1, 4):
        await wait_until(lambda: usable(store))
        await send("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await wait_until(lambda number=number: losses(events) == number)
    await wait_until(lambda: usable(store))


async def test_full_memory_is_unavailability_for_writers(store: Client, send: Send) -> None:
    """A write that the server refuses for want of memory raises; reads and the connection go on."""
    await store.set({"a": b"1"}, 60)
    epoch = store.epoch
    await send("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await send("CONFIG", "SET", "maxmemory", "1")
    try:
        for write in (store.set({"b": b"2"}, 60), store.add({"b": b"2"}, 60)):
            with pytest.raises(StoreUnavailableError, match="OOM"):
                await write
        assert await store.get(["a", "b"]) == [b"1", None]
        assert await store.release("a", b"1")
    finally:
        await send("CONFIG", "SET", "maxmemory", "256mb")
        await send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await store.set({"b": b"2"}, 60)
    assert store.epoch == epoch


async def test_a_demoted_server_is_left(store: Client, send: Send) -> None:
    """A server that becomes a replica is not used, written to or not; promoted again, it is under another epoch."""
    before = store.epoch
    await send("REPLICAOF", "127.0.0.1", "1")
    try:
        await wait_until(lambda: store.epoch is None)
        assert not await usable(store)
    finally:
        await send("REPLICAOF", "NO", "ONE")
    await wait_until(lambda: usable(store))
    assert store.epoch not in (None, before)


async def test_a_write_to_a_replica_gives_the_connection_up(store: Client, send: Send) -> None:
    """READONLY says that the primary is elsewhere: the call fails and the connection is not used again."""
    await send("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailableError, match="READONLY"):
            await store.set({"a": b"1"}, 60)
        assert store.epoch is None
    finally:
        await send("REPLICAOF", "NO", "ONE")
    await wait_until(lambda: usable(store))


@pytest.mark.parametrize("kind", ["valkey", "tiered"])
async def test_a_wrong_password_fails_calls_and_tells_nobody(kind: str, valkey_url: str) -> None:
    """With a wrong password each call fails; the password is in no message, no repr and no event."""
    secret = "s3cr3t-%40-word"
    url = f"redis://someone:{secret}@127.0.0.1:{valkey_url.rpartition(':')[2]}"
    events: list[Event] = []
    store = make(kind, url, observe=events)
    try:
        assert not await store.connect()
        with pytest.raises(StoreUnavailableError, match="WRONGPASS") as raised:
            await store.get(["a"])
        told = f"{raised.value!r} {raised.value} {store!r} {vars(raised.value)} {events}"
        assert "s3cr3t" not in told
        assert StoreConnectionChanged(kind, connected=False) in events
    finally:
        await store.aclose()


@pytest.mark.parametrize("kind", ["valkey", "tiered"])
async def test_nobody_there_fails_at_once_after_the_first_attempt(kind: str) -> None:
    """Without a server each call fails, and after the first attempt without waiting."""
    listener = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    store = make(kind, f"redis://127.0.0.1:{port}")
    try:
        with pytest.raises(StoreUnavailableError, match="no connection"):
            await store.get(["a"])
        assert store.peek(["a"]) is None
        for call in (store.set({"a": b"1"}, 60), store.add({"a": b"1"}, 60), store.delete(["a"]), store.clear("a")):
            with pytest.raises(StoreUnavailableError):
                await call
        assert await refused_at_once(store)
    finally:
        await store.aclose()


@pytest.mark.parametrize("kind", ["valkey", "tiered"])
@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 50, b"$-7\r\n", b"+OK\r\n" * 9])
async def test_a_server_that_speaks_something_else_is_unavailable(kind: str, garbage: bytes) -> None:
    """Whatever answers at the address, calls fail with the store's own error."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(garbage)
        await reader.read()

    async with listening(answer) as port:
        store = make(kind, f"redis://127.0.0.1:{port}")
        try:
            with pytest.raises(StoreUnavailableError):
                await store.get(["a"])
        finally:
            await store.aclose()


async def test_a_thousand_calls_share_the_connection(patient: Client, send: Send) -> None:
    """Concurrent calls leave together and come back each with its own answer, on one connection."""
    store = patient
    await asyncio.gather(*(store.set({f"k{n}": b"%d" % n}, 60) for n in range(1000)))
    answers = await asyncio.gather(*(store.get([f"k{n}", f"k{n + 1}"]) for n in range(999)))
    assert answers == [[b"%d" % n, b"%d" % (n + 1)] for n in range(999)]
    clients = await send("CLIENT", "LIST")
    assert isinstance(clients, bytes)
    assert clients.count(f"name=tailrace-{store.name} ".encode()) == 1


async def test_too_many_calls_are_refused(patient: Client) -> None:
    """Calls that may wait are bounded: the ones beyond fail at once, the others are answered."""
    calls = [patient.get(["a"]) for _ in range(12_000)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert outcomes.count([None]) == 10_000
    assert sum(isinstance(outcome, StoreUnavailableError) for outcome in outcomes) == 2_000
    assert await usable(patient)


async def test_a_leaver_does_not_disturb(store: Client) -> None:
    """A caller that is cancelled costs the others nothing, not even those who share its fence."""
    await store.set({"a": b"1"}, 60)
    for _ in range(20):
        leaver, stayer = asyncio.ensure_future(store.fence()), asyncio.ensure_future(store.fence())
        call = asyncio.ensure_future(store.get(["b"]))
        await asyncio.sleep(0)
        leaver.cancel()
        call.cancel()
        await stayer
        assert await store.get(["a"]) == [b"1"]


@pytest.mark.parametrize("kind", ["valkey", "tiered"])
async def test_calls_and_connections_are_reported(kind: str, proxied_url: str, proxy: Line) -> None:
    """Each round trip and each change of the connection is one event."""
    events: list[Event] = []
    store = make(kind, proxied_url, observe=events)
    try:
        began = time.monotonic()
        await store.get(["a"])
        assert isinstance(events[1], StoreCalled)
        assert 0 < events[1].duration <= time.monotonic() - began
        assert events == [StoreConnectionChanged(kind, True), StoreCalled(kind, "get", events[1].duration, False)]
        proxy.cut()
        await wait_until(lambda: StoreConnectionChanged(kind, False) in events)
        await wait_until(lambda: events.count(StoreConnectionChanged(kind, True)) == 2)
        del events[:]
        proxy.silent = True
        with pytest.raises(StoreUnavailableError):
            await store.set({"a": b"1"}, 60)
        [called] = [event for event in events if isinstance(event, StoreCalled)]
        assert (called.operation, called.error) == ("set", True)
    finally:
        await store.aclose()
