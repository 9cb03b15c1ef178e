"""One connection, without a socket: what is sent, and to whom which reply goes."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.waiting import wait_until

from tailrace.errors import StoreUnavailableError
from tailrace.stores.resp3 import LOOK, Connection, Refusal, pack


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True


def connect(pushes: list[Any] | None = None, timeout: float = 60.0) -> tuple[Connection, Wire]:
    log: list[Any] = [] if pushes is None else pushes
    connection, wire = Connection(timeout=timeout, on_push=log.append, on_change=lambda: None), Wire()
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection, wire


async def test_calls_of_one_turn_are_one_write() -> None:
    """Whatever is sent in a turn of the loop leaves at its end, together and in order."""
    connection, wire = connect()
    for number in range(3):
        connection.send(pack(("GET", str(number))), 1)
    assert wire.written == []
    await asyncio.sleep(0)
    assert wire.written == [b"".join(pack(("GET", str(number))) for number in range(3))]
    connection.close("end")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_replies_are_matched_however_the_bytes_are_cut(data: st.DataObject) -> None:
    """Each call gets its own replies and pushes keep their places, whatever the pieces that the bytes arrive in."""
    expected = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    stream, answers, number = bytearray(), [], 0
    for count in expected:
        replies = []
        for _ in range(count):
            if data.draw(st.booleans()):
                stream += b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"
            stream += b"$%d\r\n%d\r\n" % (len(str(number)), number)
            replies.append(b"%d" % number)
            number += 1
        answers.append(replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [bytes(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    async def exchange() -> list[Any]:
        pushes: list[Any] = []
        connection, _ = connect(pushes)
        calls = [connection.send(b"?", count) for count in expected]
        for piece in pieces:
            connection.data_received(piece)
        assert len(pushes) == bytes(stream).count(b"invalidate")
        assert not connection.closed
        connection.close("end")
        return await asyncio.gather(*calls)

    assert asyncio.run(exchange()) == answers


async def test_a_caller_that_left_keeps_its_place() -> None:
    """The reply to a cancelled call is dropped, not handed to the next one."""
    connection, _ = connect()
    left, stayed = connection.send(b"?", 2), connection.send(b"?", 1)
    left.cancel()
    connection.data_received(b"+1\r\n+2\r\n+3\r\n")
    assert await stayed == [b"3"]
    connection.close("end")


async def test_a_refusal_is_a_reply() -> None:
    """An error of the server's is one reply like others and does not disturb the order."""
    connection, _ = connect()
    first, second = connection.send(b"?", 2), connection.send(b"?", 1)
    connection.data_received(b"-OOM no\r\n+ok\r\n+3\r\n")
    replies = await first
    assert isinstance(replies[0], Refusal)
    assert replies[1] == b"ok"
    assert await second == [b"3"]
    connection.close("end")


@pytest.mark.parametrize("data", [b"+unasked\r\n", b"HTTP/1.1 200 OK\r\n", b"\xff\xff", b"*1\r\n?\r\n"])
async def test_bytes_out_of_place_end_the_connection(data: bytes) -> None:
    """A reply to nothing, or bytes that are not RESP: every call fails and the wire is cut."""
    connection, wire = connect()
    waiting = [] if data == b"+unasked\r\n" else [connection.send(b"?", 1)]
    connection.data_received(data)
    assert connection.closed
    assert wire.aborted
    for call in waiting:
        with pytest.raises(StoreUnavailableError):
            await call
    with pytest.raises(StoreUnavailableError):
        connection.send(b"?", 1)


async def test_an_overdue_call_stalls_the_connection_until_it_speaks() -> None:
    """After a call ran out of time others fail at once; the late reply is dropped and ends the stall."""
    connection, _ = connect(timeout=0.05)
    with pytest.raises(StoreUnavailableError, match="in time"):
        await connection.send(b"?", 1)
    with pytest.raises(StoreUnavailableError, match="in time"):
        connection.send(b"?", 1)
    connection.data_received(b"+late\r\n")
    call = connection.send(b"?", 1)
    connection.data_received(b"+right\r\n")
    assert await call == [b"right"]
    connection.close("end")


async def test_a_server_silent_for_too_long_is_given_up() -> None:
    """With a reply overdue several times over, the connection ends by itself."""
    connection, wire = connect(timeout=0.02)
    with pytest.raises(StoreUnavailableError):
        await connection.send(b"?", 1)
    await wait_until(lambda: connection.closed)
    assert wire.aborted


async def test_a_full_wire_refuses() -> None:
    """While the transport cannot take more, calls fail at once instead of piling up."""
    connection, _ = connect()
    connection.pause_writing()
    with pytest.raises(StoreUnavailableError, match="too much"):
        connection.send(b"?", 1)
    connection.resume_writing()
    connection.send(b"?", 1).cancel()
    connection.close("end")


@given(st.lists(st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_any_command_is_encoded(parts: list[str | bytes | int]) -> None:
    """Text, bytes and numbers of any kind become bulk strings."""
    encoded = pack(parts)
    rest = encoded.partition(b"\r\n")[2]
    assert encoded.startswith(b"*%d\r\n" % len(parts))
    for part in parts:
        wanted = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        size, _, rest = rest.partition(b"\r\n")
        assert (size, rest[: len(wanted)]) == (b"$%d" % len(wanted), wanted)
        rest = rest[len(wanted) + 2 :]
    assert rest == b""


async def test_a_late_server_is_seen_before_it_answers() -> None:
    """While a call waits `delay` grows, and it stays when the answer has come, until the next measurement."""
    connection, _ = connect()
    call = connection.send(b"?", 1)
    assert connection.delay == 0.0
    await wait_until(lambda: connection.delay >= 3 * LOOK)
    connection.data_received(b"+late\r\n")
    await call
    late = connection.delay
    measuring = asyncio.create_task(connection.measure(b"?"))
    await asyncio.sleep(0)
    connection.data_received(b"+now\r\n")
    assert await measuring == b"now"
    assert connection.delay < late
    connection.close("end")


async def test_a_busy_process_is_not_a_late_server() -> None:
    """What the event loop itself keeps waiting is not counted: a reply is read in the turn after it came."""
    connection, _ = connect()
    loop = asyncio.get_running_loop()
    call = connection.send(b"?", 1)
    time.sleep(0.1)  # held up, while the reply lies in the socket
    loop.call_soon(connection.data_received, b"+read\r\n")
    await call
    assert connection.delay == 0.0
    connection.close("end")


async def test_an_unanswered_measurement_says_nothing_good() -> None:
    """A measurement that gets no reply in time leaves the connection as late as it was seen to be."""
    connection, _ = connect(timeout=0.01)
    connection.delay = 0.5
    with pytest.raises(StoreUnavailableError):
        await connection.measure(b"?")
    assert connection.delay >= 0.5
    connection.close("end")


def test_a_time_limit_that_is_over_at_once_is_noticed_by_uvloop_too() -> None:
    """What uvloop returns for less than half a millisecond knows no moment, and the call fails all the same."""

    async def ask() -> None:
        connection, _ = connect(timeout=0.0001)
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnavailableError, match="in time"):
                await connection.send(b"?", 1)
        connection.close("end")

    uvloop.run(ask())
