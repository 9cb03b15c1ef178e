"""Answers that are read while they arrive, from real servers that misbehave, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.upstream.origin import Exchange, Handler, Server, hang, serving
from tests.waiting import wait_until

from tailrace.clock import SystemClock
from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    UpstreamError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    UrlRefusedError,
)
from tailrace.events import AttemptFailed, Event, UpstreamCalled
from tailrace.resilience import deadline_within
from tailrace.settings import OutboundSettings, UpstreamSettings
from tailrace.testing.clock import FakeClock
from tailrace.upstream import HttpTransport, OutboundGuard, UpstreamClient, received_events

FAST = UpstreamSettings(backoff=0.01, max_backoff=0.02, attempt_timeout=10.0, retry_budget_reserve=1000)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
KEY = {"Idempotency-Key": "k"}


def chunk(data: bytes) -> bytes:
    """As HTTP/1.1 sends a piece of a body whose length nobody knows yet."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sending(*pieces: bytes) -> Handler:
    """An answer of these bytes, after which the server waits for the client to go."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(b"".join(pieces))
        if END not in pieces:
            await hang(exchange)

    return handler


@asynccontextmanager
async def client_of(server: Server, events: list[Event] | None = None, **changes: Any) -> AsyncIterator[UpstreamClient]:
    """A client that has nothing under way when its test is over, and whose server sees no open connection then."""
    observer = None if events is None else events.append
    settings = FAST.model_copy(update=changes)
    async with UpstreamClient("svc", server.url, settings=settings, observer=observer) as client:
        yield client
        assert client.in_use == 0


async def read(client: UpstreamClient, method: str = "POST", **more: Any) -> bytes:
    async with client.stream(method, "/answers", **more) as response:
        return b"".join([piece async for piece in response])


async def test_pieces_are_there_as_they_come() -> None:
    """A piece is read before the server has made the next one, and the same connection carries the next call."""
    made, taken = asyncio.Event(), asyncio.Event()

    async def one_by_one(exchange: Exchange) -> None:
        await exchange.send(HEAD + chunk(b"one"))
        await taken.wait()
        await exchange.send(chunk(b"two") + END)
        made.set()

    async with serving(one_by_one) as server, client_of(server) as client:
        async with client.stream("post", "/a b", params={"q": "x"}, headers={"X-A": "1"}, body=b"asked") as response:
            assert (response.status, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            assert await anext(response) == b"one"
            assert not made.is_set()
            assert client.in_use == 1
            taken.set()
            assert [piece async for piece in response] == [b"two"]
            assert client.in_use == 0  # its slot is free with the last byte, whatever the reader does next
        assert await read(client) == b"onetwo"
        assert server.connections == 1
        (first, _) = server.requests
        assert (first.line, first.body) == ("POST /a%20b?q=x HTTP/1.1", b"asked")
        assert (first.headers["x-a"], first.headers["accept-encoding"]) == ("1", "identity")


async def test_events_of_an_answer() -> None:
    """An event stream is read as events, whatever pieces it comes in; another answer is none."""
    wire = 'event: chunk\r\ndata: {"text":\rdata: "ü"}\n\n: comment\ndata: [DONE]\n\ndata: cut off'.encode()
    pieces = [chunk(wire[at : at + 1]) for at in range(len(wire))]
    async with (
        serving(sending(HEAD, *pieces, END)) as server,
        client_of(server) as client,
        client.stream("GET", "/") as response,
    ):
        found = [(event.event, event.data) async for event in received_events(response)]
    assert found == [("chunk", '{"text":\n"ü"}'), ("message", "[DONE]")]

    async def page(exchange: Exchange) -> None:
        await exchange.answer(200, b"{}", "content-type: application/json")

    async with serving(page) as server, client_of(server) as client, client.stream("GET", "/") as response:
        with pytest.raises(UpstreamError):
            await anext(received_events(response))


async def test_before_the_first_byte_it_is_tried_again() -> None:
    """What is refused or cut off before a byte of the body is asked for again, where that is safe."""
    events: list[Event] = []
    good = sending(HEAD, chunk(b"at last"), END)

    async def handler(exchange: Exchange) -> None:
        if exchange.number == 1:
            await exchange.answer(503, b"no")
        elif exchange.number == 2:
            exchange.writer.transport.abort()
        else:
            await good(exchange)

    async with serving(handler) as server, client_of(server, events) as client:
        assert await read(client, headers=KEY, body=b"x") == b"at last"
        assert [request.body for request in server.requests] == [b"x"] * 3
        failed = [event.reason for event in events if isinstance(event, AttemptFailed)]
        assert failed == ["upstream_unavailable"] * 2
        assert [(e.outcome, e.attempts) for e in events if isinstance(e, UpstreamCalled)] == [("ok", 3)]
        await wait_until(lambda: server.open == 1)  # the good one, kept


async def test_silence_before_the_first_byte_is_given_up() -> None:
    """A head alone does not count as an answer: the attempt ends with its time, and another one is made."""
    events: list[Event] = []
    good = sending(HEAD, chunk(b"at last"), END)

    async def handler(exchange: Exchange) -> None:
        await (sending(HEAD) if exchange.number == 1 else good)(exchange)

    async with (
        serving(handler) as server,
        client_of(server, events, attempt_timeout=0.5, total_timeout=60.0, max_retries=50) as client,
    ):
        assert await read(client, "GET") == b"at last"
    reasons = [event.reason for event in events if isinstance(event, AttemptFailed)]
    assert reasons[0] == "upstream_timeout"


async def test_a_request_that_may_not_be_sent_twice_is_not() -> None:
    """A POST without a key goes out once, whatever becomes of it."""
    async with serving(lambda exchange: exchange.answer(503)) as server, client_of(server) as client:
        with pytest.raises(UpstreamUnavailableError):
            await read(client)
        assert len(server.requests) == 1


async def test_after_the_first_byte_nothing_is_tried_again() -> None:
    """A body that breaks off is an error and never a shorter body; the reader keeps what there was."""
    events: list[Event] = []

    async def breaks(exchange: Exchange) -> None:
        await exchange.send(HEAD + chunk(b"half"))
        exchange.writer.close()

    async with serving(breaks) as server, client_of(server, events) as client:
        async with client.stream("GET", "/") as response:
            assert await anext(response) == b"half"
            with pytest.raises(UpstreamUnavailableError):
                await anext(response)
            with pytest.raises(UpstreamError):  # it does not look ended to who asks again
                await anext(response)
        assert len(server.requests) == 1
    assert [event.outcome for event in events if isinstance(event, UpstreamCalled)] == ["error"]


async def test_silence_in_the_middle_is_given_up() -> None:
    """Silence may last as long as an attempt may take, and no longer; the server is let go."""
    clock = FakeClock()
    async with (
        serving(sending(HEAD, chunk(b"x"))) as server,
        UpstreamClient("svc", server.url, settings=FAST, clock=clock) as client,
    ):
        async with client.stream("POST", "/", timeout=100.0) as response:
            assert await anext(response) == b"x"
            silent = asyncio.ensure_future(anext(response))
            await wait_until(lambda: clock.sleepers == 1)
            await clock.advance(FAST.attempt_timeout - 1)
            assert not silent.done()
            await clock.advance(1)
            with pytest.raises(UpstreamTimeoutError):
                await silent
        await wait_until(lambda: server.open == 0)
        assert len(server.requests) == 1


async def drip(exchange: Exchange) -> None:
    """A byte now and then, for ever."""
    await exchange.send(HEAD)
    while True:
        await exchange.send(chunk(b"x"))
        await asyncio.sleep(0.005)


async def test_an_answer_without_an_end_ends() -> None:
    """Neither the time of the call nor the deadline of who called can be kept alive by a byte now and then."""
    async with serving(drip) as server, client_of(server) as client:
        with pytest.raises(UpstreamTimeoutError):
            await read(client, "GET", timeout=0.3)
        with deadline_within(0.3, SystemClock()), pytest.raises(UpstreamTimeoutError):
            await read(client, "GET")
        await wait_until(lambda: server.open == 0)


async def test_an_answer_larger_than_allowed() -> None:
    """The bound counts what was read so far, since nobody says how much there will be."""
    async with serving(drip) as server, client_of(server, max_response_bytes=20) as client:
        with pytest.raises(UpstreamError, match="more than 20 bytes"):
            await read(client, "GET")
        assert len(server.requests) == 1
        await wait_until(lambda: server.open == 0)


@pytest.mark.parametrize("way", ["left", "failed", "cancelled"])
async def test_a_reader_who_leaves_ends_it(way: str) -> None:
    """The server's connection is closed with the block, the slot is free, and nothing is held against the service."""
    events: list[Event] = []
    async with (
        serving(drip) as server,
        client_of(server, events, breaker_consecutive=1, breaker_minimum_calls=1) as client,
    ):
        begun = asyncio.Event()

        async def reading() -> None:
            async with client.stream("GET", "/") as response:
                async for _ in response:
                    begun.set()
                    if way == "left":
                        return
                    if way == "failed":
                        raise ZeroDivisionError

        task = asyncio.create_task(reading())
        await begun.wait()
        if way == "cancelled":
            task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        kinds = {"left": type(None), "failed": ZeroDivisionError, "cancelled": asyncio.CancelledError}
        assert type(ended) is kinds[way]
        await wait_until(lambda: server.open == 0)
        assert (client.in_use, client.circuit) == (0, "closed")
    assert [event.outcome for event in events if isinstance(event, UpstreamCalled)] == ["cancelled"]


async def test_the_breaker_hears_how_streams_end() -> None:
    """A service whose answers break off in the middle is found to be ill; one that answers to the end, well."""

    async def handler(exchange: Exchange) -> None:
        if exchange.number <= 2:
            await exchange.send(HEAD + chunk(b"half"))
            exchange.writer.transport.abort()
        else:
            await exchange.send(HEAD + chunk(b"whole") + END)

    clock = FakeClock()
    settings = FAST.model_copy(update={"breaker_consecutive": 2, "breaker_open": 60.0, "breaker_trials": 1})
    async with serving(handler) as server, UpstreamClient("svc", server.url, settings=settings, clock=clock) as client:
        for _ in range(2):
            with pytest.raises(UpstreamUnavailableError):
                await read(client, "GET")
        assert client.circuit == "open"
        with pytest.raises(CircuitOpenError):
            await read(client)
        assert len(server.requests) == 2
        await clock.advance(60.0)
        assert await read(client) == b"whole"
        assert client.circuit == "closed"


async def test_a_stream_holds_its_slot() -> None:
    """As long as one is read, others wait; when it is left, the next one begins."""
    async with serving(drip) as server, client_of(server, concurrency=1, queue=1, queue_timeout=20.0) as client:
        async with client.stream("GET", "/1") as first:
            waiting = asyncio.create_task(read(client, "GET", timeout=20.0))
            await wait_until(lambda: client._bulkhead.waiting == 1)
            with pytest.raises(BulkheadFullError):
                await read(client)
            assert await anext(first) == b"x"
        await wait_until(lambda: len(server.requests) == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_what_is_no_answer_of_the_kind() -> None:
    """A refusal, another address, and a coding that nobody asked for are errors before anything is read."""

    async def coded(exchange: Exchange) -> None:
        await exchange.answer(200, b"\x1f\x8b", "content-encoding: gzip")

    async def moved(exchange: Exchange) -> None:
        await exchange.answer(307, b"", "location: http://127.0.0.1:1/")

    for handler, kind in ((coded, UpstreamError), (moved, UpstreamRejectedError)):
        async with serving(handler) as server, client_of(server) as client:
            with pytest.raises(kind):
                await read(client, "GET")
            assert len(server.requests) == 1


async def test_an_empty_answer() -> None:
    """Is one: no pieces, no error."""
    async with serving(lambda exchange: exchange.answer(204, b"")) as server, client_of(server) as client:
        assert await read(client) == b""


async def test_the_guard_judges_streams_too() -> None:
    """A host that a stranger has named is asked at judged addresses only, whichever way it is asked."""

    async def inside(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with serving(sending(HEAD, chunk(b"x"), END)) as server:
        for networks, refused in (("", True), ("127.0.0.0/8", False)):
            guard = OutboundGuard(OutboundSettings(ports=(server.port,), allowed_networks=networks), resolve=inside)
            async with UpstreamClient("hook", f"http://hook.test:{server.port}", guard=guard, settings=FAST) as hook:
                if refused:
                    with pytest.raises(UrlRefusedError):
                        await read(hook, "GET")
                else:
                    assert await read(hook, "GET") == b"x"
        assert len(server.requests) == 1


async def test_a_transport_of_ones_own_has_no_streams() -> None:
    """It is said at once; nothing goes over sockets that the caller has replaced."""
    transport = HttpTransport("svc", "http://127.0.0.1:1", keep=1, max_response_bytes=1)
    async with UpstreamClient("svc", "http://127.0.0.1:1", transport=transport) as client:
        with pytest.raises(ValueError, match="no streams"):
            await read(client)
