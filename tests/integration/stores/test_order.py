"""The order of replies and pushes on the connection, message by message, by a server that answers as it is told.

A real server sends the same messages, but which of two races another cannot be chosen there. What the real one sends,
and that the copies agree with it, is the matter of the coherence tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hiredis
import pytest
from tests.waiting import wait_until

from tailrace.errors import StoreUnavailableError
from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore, link

PUSH_A = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
PUSH_ALL = b">2\r\n$10\r\ninvalidate\r\n_\r\n"
VALUE = b"*1\r\n$3\r\nold\r\n"
NONE = b"*1\r\n_\r\n"
FOREVER = b":60000\r\n"
GONE = b":-2\r\n"
OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
PRIMARY = b"role:master\r\nmaster_replid:abcdef0123456789"


class ToldServer:
    """Introduces itself as a primary; after that sends what `say` is given, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, ...]] = []
        self.writes = 0
        self.connections = 0
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def say(self, *messages: bytes) -> None:
        assert self._writer is not None
        self._writer.write(b"".join(messages))

    def hang_up(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    async def hears(self, count: int) -> None:
        await wait_until(lambda: len(self.heard) >= count)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.connections += 1
        codec = hiredis.Reader()
        try:
            while data := await reader.read(65536):
                self.writes += 1
                codec.feed(data)
                while (command := codec.gets()) is not False:
                    if command[0] == b"HELLO":
                        writer.write(b"%1\r\n+server\r\n+valkey\r\n")
                    elif command[0] == b"CLIENT":
                        writer.write(OK)
                    elif command[0] == b"INFO":
                        writer.write(b"$%d\r\n%b\r\n" % (len(PRIMARY), PRIMARY))
                    else:
                        self.heard.append(tuple(command))
        finally:
            writer.transport.abort()


@pytest.fixture(autouse=True)
def no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test sends is on the line, however long the machine takes."""
    monkeypatch.setattr(link, "HEARTBEAT", 3600.0)


@pytest.fixture
async def server() -> AsyncIterator[ToldServer]:
    server = ToldServer()
    yield server
    await server.close()


@pytest.fixture
async def store(server: ToldServer) -> AsyncIterator[TieredStore]:
    store = TieredStore(await server.start(), valkey=ValkeySettings(timeout=20.0))
    assert await store.connect()
    assert store.epoch == "abcdef0123456789"
    server.heard.clear()
    yield store
    await store.aclose()


async def read_a(store: TieredStore, server: ToldServer) -> asyncio.Task[list[bytes | None]]:
    """A read of `a` that the server has heard and not answered."""
    before = len(server.heard)
    task = asyncio.ensure_future(store.get(["a"]))
    await server.hears(before + 2)
    return task


@pytest.mark.parametrize(
    "answer",
    [
        [PUSH_A, VALUE, FOREVER],
        [VALUE, PUSH_A, FOREVER],
        [VALUE, FOREVER, PUSH_A],
        [VALUE, FOREVER, PUSH_ALL],
        [VALUE, PUSH_ALL, FOREVER],
        [NONE, GONE, PUSH_A],
        [NONE, PUSH_A, GONE],
    ],
    ids=["before", "between", "behind", "all behind", "all between", "absent behind", "absent between"],
)
async def test_a_value_does_not_enter_behind_its_invalidation(
    store: TieredStore, server: ToldServer, answer: list[bytes]
) -> None:
    """Whenever a push comes between a read's departure and its caller's turn, the value is answered but not held."""
    task = await read_a(store, server)
    server.say(*answer)
    assert await task == ([b"old"] if VALUE in answer else [None])
    assert store.peek(["a"]) is None


@pytest.mark.parametrize(("answer", "held"), [([VALUE, FOREVER], [b"old"]), ([NONE, GONE], [None])])
async def test_an_undisturbed_read_is_held(
    store: TieredStore, server: ToldServer, answer: list[bytes], held: list[bytes | None]
) -> None:
    """Without a push the copy is there when the read returns, and goes when the push comes."""
    task = await read_a(store, server)
    server.say(*answer)
    assert await task == held
    assert store.peek(["a"]) == held
    server.say(PUSH_A)
    await wait_until(lambda: store.peek(["a"]) is None)


@pytest.mark.parametrize("answer", [[VALUE, GONE], [NONE, FOREVER], [NONE, b":-1\r\n"], [VALUE, b":0\r\n"]])
async def test_a_doubtful_answer_is_not_held(store: TieredStore, server: ToldServer, answer: list[bytes]) -> None:
    """Where value and remaining time do not fit together, or none remains, nothing is held."""
    task = await read_a(store, server)
    server.say(*answer)
    await task
    assert store.peek(["a"]) is None


@pytest.mark.parametrize("operation", ["set", "add", "delete", "release"])
async def test_an_own_write_keeps_earlier_reads_out(store: TieredStore, server: ToldServer, operation: str) -> None:
    """A read that left before an own write is not held, even if the write's push comes a segment after its reply."""
    task = await read_a(store, server)
    write = {
        "set": lambda: store.set({"a": b"new"}, 60),
        "add": lambda: store.add({"a": b"new"}, 60),
        "delete": lambda: store.delete(["a"]),
        "release": lambda: store.release("a", b"old"),
    }[operation]
    writing = asyncio.ensure_future(write())
    await server.hears(3)
    server.say(VALUE, FOREVER, {"set": OK, "add": b"_\r\n"}.get(operation, b":1\r\n"))
    await writing
    assert store.peek(["a"]) is None
    await task
    assert store.peek(["a"]) is None


async def test_an_own_write_takes_the_copy_before_it_is_sent(store: TieredStore, server: ToldServer) -> None:
    """From the call on, the old value is not answered, whatever becomes of the write."""
    task = await read_a(store, server)
    server.say(VALUE, FOREVER)
    await task
    writing = asyncio.ensure_future(store.set({"a": b"new"}, 60))
    await server.hears(3)
    assert store.peek(["a"]) is None
    server.say(OK, PUSH_A)
    await writing


async def test_of_two_reads_the_later_one_counts(store: TieredStore, server: ToldServer) -> None:
    """Two reads of a key under way do not disturb each other's answers, and leave a copy."""
    first, second = await read_a(store, server), await read_a(store, server)
    server.say(VALUE, FOREVER)
    await first
    assert store.peek(["a"]) is None
    server.say(VALUE, FOREVER)
    assert await second == [b"old"]
    assert store.peek(["a"]) == [b"old"]


async def hold_a(store: TieredStore, server: ToldServer) -> None:
    """A copy of `a`, and nothing heard but what comes now."""
    task = await read_a(store, server)
    server.say(VALUE, FOREVER)
    await task
    server.heard.clear()


async def test_only_what_is_not_held_is_asked_for(store: TieredStore, server: ToldServer) -> None:
    """A read of several keys takes the copies that there are, and asks for the others in one round trip."""
    await hold_a(store, server)
    task = asyncio.ensure_future(store.get(["b", "a", "c", "b"]))
    await server.hears(4)
    assert server.heard[0] == (b"MGET", b"b", b"c", b"b")
    server.say(b"*3\r\n$1\r\nB\r\n_\r\n$1\r\nB\r\n", FOREVER, GONE, FOREVER)
    assert await task == [b"B", b"old", None, b"B"]
    assert store.peek(["a", "b", "c"]) == [b"old", b"B", None]


async def test_what_is_all_held_is_asked_for_all_the_same(store: TieredStore, server: ToldServer) -> None:
    """`get` never answers without the server, which may have heard what this process has not."""
    await hold_a(store, server)
    task = await read_a(store, server)
    assert server.heard == [(b"MGET", b"a"), (b"PTTL", b"a")]
    server.say(b"*1\r\n$3\r\nnew\r\n", FOREVER)
    assert await task == [b"new"]


@pytest.mark.parametrize(
    "answer",
    [
        [PUSH_A, VALUE, FOREVER],
        [VALUE, PUSH_A, FOREVER],
        [VALUE, FOREVER, PUSH_A],
        [PUSH_ALL, VALUE, FOREVER],
    ],
    ids=["before", "between", "behind", "all before"],
)
async def test_a_copy_that_ends_meanwhile_is_not_taken(
    store: TieredStore, server: ToldServer, answer: list[bytes]
) -> None:
    """Where a copy is invalidated before the others' answer has reached the caller, all is read: of one moment."""
    await hold_a(store, server)
    task = asyncio.ensure_future(store.get(["a", "b"]))
    await server.hears(2)
    server.say(*answer)
    await server.hears(5)
    assert server.heard[2] == (b"MGET", b"a", b"b")
    server.say(b"*2\r\n$3\r\nnew\r\n$1\r\nB\r\n", FOREVER, FOREVER)
    assert await task == [b"new", b"B"]


async def test_an_own_write_meanwhile_is_not_overlooked(store: TieredStore, server: ToldServer) -> None:
    """A copy that this process replaces while the others are read is read with them again."""
    await hold_a(store, server)
    task = asyncio.ensure_future(store.get(["a", "b"]))
    await server.hears(2)
    writing = asyncio.ensure_future(store.set({"a": b"new"}, 60))
    await server.hears(3)
    server.say(NONE, GONE, OK)
    await writing
    await server.hears(6)
    assert server.heard[3] == (b"MGET", b"a", b"b")
    server.say(b"*2\r\n$3\r\nnew\r\n_\r\n", FOREVER, GONE)
    assert await task == [b"new", None]


async def test_copies_of_a_lost_connection_are_not_taken(store: TieredStore, server: ToldServer) -> None:
    """A read whose connection ends fails; it does not answer from what was held."""
    await hold_a(store, server)
    task = asyncio.ensure_future(store.get(["a", "b"]))
    await server.hears(2)
    server.hang_up()
    with pytest.raises(StoreUnavailableError):
        await task


async def test_a_lost_connection_takes_every_copy(store: TieredStore, server: ToldServer) -> None:
    """With the connection all copies are gone, and stay gone on the next one."""
    task = await read_a(store, server)
    server.say(VALUE, FOREVER)
    await task
    server.hang_up()
    await wait_until(lambda: server.connections == 2 and store.epoch is not None)
    assert store.peek(["a"]) is None
    assert store.statistics().entries == 0


async def test_an_answer_whose_connection_died_is_not_held(store: TieredStore, server: ToldServer) -> None:
    """A reply that came just before the connection was lost may be answered; on the next one nothing of it is held."""
    task = await read_a(store, server)
    server.say(VALUE, FOREVER)
    server.hang_up()
    await asyncio.gather(task, return_exceptions=True)
    await wait_until(lambda: server.connections == 2 and store.epoch is not None)
    assert store.peek(["a"]) is None


async def test_fences_that_leave_together_are_one(store: TieredStore, server: ToldServer) -> None:
    """Any number of fences of one turn cost one round trip; one that comes while it is under way needs its own."""
    fences = [asyncio.ensure_future(store.fence()) for _ in range(10)]
    await server.hears(1)
    assert server.heard == [(b"PING",)]
    late = asyncio.ensure_future(store.fence())
    await server.hears(2)
    assert server.heard == [(b"PING",), (b"PING",)]
    server.say(PONG)
    await asyncio.gather(*fences)
    assert not late.done()
    server.say(PONG)
    await late


async def test_after_a_fence_earlier_pushes_are_applied(store: TieredStore, server: ToldServer) -> None:
    """What lies before the fence's reply has been applied when the fence returns."""
    task = await read_a(store, server)
    server.say(VALUE, FOREVER)
    await task
    fence = asyncio.ensure_future(store.fence())
    await server.hears(3)
    server.say(PUSH_A, PONG)
    await fence
    assert store.peek(["a"]) is None


async def test_calls_of_one_turn_leave_in_one_write(store: TieredStore, server: ToldServer) -> None:
    """Fifty calls made together reach the server as one segment."""
    before = server.writes
    calls = [asyncio.ensure_future(store.get([f"k{number}"])) for number in range(50)]
    await server.hears(100)
    assert server.writes == before + 1
    server.say(*[NONE, GONE] * 50)
    await asyncio.gather(*calls)


async def test_after_a_stall_copies_wait_for_a_fresh_answer(server: ToldServer) -> None:
    """When an overdue server speaks again, its first bytes may be old: copies wait for the answer to a later call."""
    store = TieredStore(await server.start(), valkey=ValkeySettings(timeout=2.0))
    try:
        assert await store.connect()
        task = await read_a(store, server)
        server.say(VALUE, FOREVER)
        await task
        values = store.peek(["a"])
        assert values == [b"old"]
        look = store.hold(["a"], values)
        assert look is not None
        assert look() == b"old"
        with pytest.raises(StoreUnavailableError):
            await store.fence()
        assert store.peek(["a"]) is None
        assert look() is None
        server.say(PONG)

        async def taken() -> bool:
            fence = asyncio.ensure_future(store.fence())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return not fence.done() or fence.exception() is None

        await wait_until(taken)
        assert store.peek(["a"]) is None, "the reply was the overdue one"
        server.say(PUSH_A, PONG)
        await wait_until(lambda: store.statistics().entries == 0)
        task = await read_a(store, server)
        server.say(VALUE, FOREVER)
        assert await task == [b"old"]
        assert store.peek(["a"]) == [b"old"]
    finally:
        await store.aclose()
