"""A server whose replies are well-formed and make no sense: calls fail with the store's own error, and no other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import hiredis
import pytest
from tests.listening import listening
from tests.waiting import wait_until

from tailrace.asgi.sse.valkey_log import ValkeyReplayLog
from tailrace.cache import Cache, CachePolicy
from tailrace.errors import StoreUnavailableError
from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore, ValkeyStore

SETTINGS = ValkeySettings(timeout=20.0, connect_timeout=20.0, reconnect_max_delay=0.001)
PRIMARY = b"role:master\r\nmaster_replid:%s\r\n" % (b"a" * 40)
SIMPLE = (
    *(b"+OK\r\n", b":1\r\n", b":0\r\n", b":-2\r\n", b"_\r\n", b"$1\r\nx\r\n", b"#t\r\n", b",1.5\r\n", b"(7\r\n"),
    *(b"-ERR no\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"%0\r\n", b"~1\r\n:1\r\n", b"=5\r\ntxt:x\r\n"),
    b"%1\r\n*0\r\n:1\r\n",
)
PUSHES = (
    *(b">0\r\n", b">1\r\n+invalidate\r\n", b">2\r\n+invalidate\r\n:1\r\n", b">2\r\n+invalidate\r\n*2\r\n:1\r\n_\r\n"),
    *(b">2\r\n+invalidate\r\n_\r\n", b">2\r\n*0\r\n*0\r\n", b">2\r\n+invalidate\r\n*1\r\n$2\r\n\xff\xfe\r\n"),
)


def nonsense(draw: random.Random, members: int, depth: int = 2) -> bytes:
    """One reply that is RESP3, often a list of so many; now and then behind a push."""
    before = draw.choice(PUSHES) if draw.random() < 0.1 else b""
    if depth and draw.random() < 0.6:
        count = members if draw.random() < 0.7 else draw.randrange(4)
        return before + b"*%d\r\n" % count + b"".join(nonsense(draw, 2, depth - 1) for _ in range(count))
    return before + draw.choice(SIMPLE)


@pytest.fixture(params=["valkey", "tiered"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ValkeyStore | TieredStore]:
    """A store on a server that introduces itself well and talks nonsense from then on."""
    draw = random.Random(7)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        codec = hiredis.Reader()
        while data := await reader.read(65536):
            codec.feed(data)
            while (command := codec.gets()) is not False:
                if command[0] in (b"HELLO", b"CLIENT"):
                    writer.write(b"+OK\r\n")
                elif command[0] == b"INFO":
                    writer.write(b"$%d\r\n%s\r\n" % (len(PRIMARY), PRIMARY))
                else:
                    writer.write(nonsense(draw, len(command) - 1))

    async with listening(answer) as port:
        url = f"redis://127.0.0.1:{port}"
        if request.param == "valkey":
            store: ValkeyStore | TieredStore = ValkeyStore(url, settings=SETTINGS)
        else:
            store = TieredStore(url, valkey=SETTINGS)
        assert await store.connect()
        yield store
        await store.aclose()


async def test_no_reply_raises_anything_else(store: ValkeyStore | TieredStore) -> None:
    """Whatever shape a reply has, a call returns what it promises or says that the store is unavailable."""
    keys = ["a", "b"]
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.get(keys),
        lambda: store.set({"a": b"1"}, 60),
        lambda: store.add({"a": b"1", "b": b"2"}, 60),
        lambda: store.set_once({"m": {"a": b"1"}}, 60, mark_ttl=5),
        lambda: store.delete(keys),
        lambda: store.release("a", b"1"),
        lambda: store.fence(),
        lambda: store.clear("a"),
    ]
    outcomes = {"given": 0, "refused": 0}
    for turn in range(600):
        await wait_until(lambda: store.epoch is not None)
        try:
            given = await calls[turn % len(calls)]()
        except StoreUnavailableError:
            outcomes["refused"] += 1
        else:
            outcomes["given"] += 1
            if turn % len(calls) in (0, 2):
                assert isinstance(given, list)
                assert len(given) == len(keys)
                assert all(value is None or isinstance(value, bytes) for value in given)
            else:
                assert given is None or isinstance(given, int | list)
    assert outcomes["refused"] > 0


async def test_no_answer_fails(store: ValkeyStore | TieredStore) -> None:
    """Whoever asks the cache gets what is computed."""
    cache = Cache(store)

    async def value() -> bytes:
        return b"right"

    for turn in range(300):
        await wait_until(lambda: store.epoch is not None)
        key = f"k{turn % 7}"
        answer = await cache.read_through(key, value, policy=CachePolicy("p", ttl=60), depends_on=["t:id=1"])
        assert answer.value == b"right"
    await cache.aclose()


@pytest.mark.parametrize("store", ["valkey"], indirect=True)
async def test_no_stream_is_misread(store: ValkeyStore) -> None:
    """A log of streams knows nothing of a stream of which it hears nonsense, or says that the store is unavailable."""
    log = ValkeyReplayLog(store)
    for _ in range(300):
        await wait_until(lambda: store.epoch is not None)
        with suppress(StoreUnavailableError):
            assert await log.read("one") is None
