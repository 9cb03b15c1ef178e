"""The load driver against a real uvicorn."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from tests.listening import listening

from tailrace.testing.clock import FakeClock
from tailrace.verify.client import MOST_IDLE, Connections, Exchange, ExchangeFailedError, Request
from tailrace.verify.driver import closed_loop, open_loop
from tailrace.verify.pacer import Pacer

Scope, Send = dict[str, Any], Callable[[dict[str, Any]], Awaitable[None]]


class Served:
    """An ASGI application with an endpoint for every way in which a server may behave."""

    def __init__(self) -> None:
        self.requests = 0
        self.ports: list[int] = []
        self.release = asyncio.Event()
        self.stall = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] != "http":
            return
        self.requests += 1
        self.ports.append(scope["client"][1])
        path = scope["path"]
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        if path == "/hang":
            await self.release.wait()
        if path == "/stall":
            self.stall.set()
            await self.release.wait()
        status = 500 if path == "/broken" else 200
        answer = json.dumps({"path": path, "got": body.decode(), "method": scope["method"]}).encode()
        headers = [(b"content-type", b"application/json")]
        if path != "/chunked":
            headers.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for part in (answer[:5], answer[5:]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def served() -> AsyncIterator[tuple[Served, str]]:
    app = Served()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="httptools", log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield app, f"http://127.0.0.1:{listener.getsockname()[1]}"
    app.release.set()
    server.should_exit = True
    await running
    listener.close()


async def test_a_request_arrives_whole_and_so_does_its_answer(served: tuple[Served, str]) -> None:
    """Method, path and body go out as given; plain and chunked answers come back whole, on one connection."""
    _, url = served
    async with Connections(url + "/below") as connections:
        posted = await connections.send(Request("post", "/x", "POST", {"Content-Type": "text/plain"}, b"hello"))
        assert posted.json() == {"path": "/below/x", "got": "hello", "method": "POST"}
    async with Connections(url) as connections:
        assert (await connections.send(Request("chunked", "/chunked"))).json()["path"] == "/chunked"
        assert (await connections.send(Request("get", "/a"))).json()["method"] == "GET"
        assert len(connections._idle) == 1


async def test_a_closed_loop_counts_every_answer(served: tuple[Served, str]) -> None:
    """Each request the server saw is in the result, under its name, and errors are counted by kind."""
    app, url = served
    good, bad = Request("good", "/good"), Request("bad", "/broken")
    async with Connections(url) as connections:
        result = await closed_loop(
            connections, lambda user, turn: bad if turn % 4 == 3 else good, users=8, duration=0.3
        )
    assert result.requests == app.requests
    assert result.endpoints["bad"].errors["status_500"] == result.endpoints["bad"].requests > 0
    assert result.endpoints["good"].errors.total() == 0
    assert result.errors == result.endpoints["bad"].errors
    assert result.requests_per_second > 0


async def test_an_open_loop_counts_the_wait_of_a_stalled_server(served: tuple[Served, str]) -> None:
    """Requests due while the server hangs are late from the moment they were due: nothing is omitted."""
    app, url = served
    seen: list[Exchange] = []
    async with Connections(url) as connections:
        running = asyncio.create_task(
            open_loop(
                connections,
                (Request("r", "/stall" if n == 0 else "/fast") for n in range(1000)),
                Pacer(rate=200, duration=0.5),
                limit=1,
                watch=seen.append,
            )
        )
        await app.stall.wait()
        await asyncio.sleep(0.3)  # how long the server stalls: the input of this test, not a wait for something
        released = connections.clock.monotonic()
        app.release.set()
        result = await running
    assert result.requests == 100
    latencies = sorted(exchange.latency for exchange in seen)
    assert sum(latency > 0.1 for latency in latencies) >= 20
    assert all(exchange.started >= released for exchange in seen[1:])


async def test_a_long_idle_connection_is_not_used_again(served: tuple[Served, str]) -> None:
    """Its server may just be closing it, which would look like a failure of the service."""
    app, url = served
    clock = FakeClock()
    async with Connections(url, clock=clock) as connections:
        for idle in (0.0, MOST_IDLE, MOST_IDLE + 0.1):
            await clock.advance(idle)
            await connections.send(Request("a", "/a"))
    first, second, third = app.ports
    assert first == second != third


async def test_a_hanging_answer_is_a_timeout(served: tuple[Served, str]) -> None:
    """A request that gets no answer in time fails as ``timeout`` and its connection is not used again."""
    _, url = served
    async with Connections(url) as connections:
        exchange = await connections.exchange(Request("hang", "/hang"), timeout=0.05)
        assert exchange.error == "timeout"
        assert (await connections.send(Request("next", "/a"))).status == 200


async def test_a_server_that_is_not_there_is_a_connect_error() -> None:
    """Nobody listens: the failure says that nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with Connections(f"http://127.0.0.1:{port}") as connections:
        with pytest.raises(ExchangeFailedError) as caught:
            await connections.send(Request("r", "/"))
        assert caught.value.kind == "connect"
        result = await closed_loop(connections, lambda user, turn: Request("r", "/"), users=2, duration=0.05)
    assert result.errors["connect"] == result.requests > 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal", "closed"), (b"hello\r\n\r\n", "malformed")],
)
async def test_broken_answers_are_told_apart(answer: bytes, kind: str) -> None:
    """A connection lost in mid-answer is ``closed``, one that speaks no HTTP ``malformed``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with listening(serve) as port, Connections(f"http://127.0.0.1:{port}") as connections:
        assert (await connections.exchange(Request("r", "/"))).error == kind


def test_host_can_be_another_than_the_address() -> None:
    """Whoever asks several servers behind one name says that name, once."""
    assert Request("r", "/a").encode("h:1") == b"GET /a HTTP/1.1\r\nHost: h:1\r\n\r\n"
    named = Request("r", "/a", headers={"host": "name.test", "X": "1"})
    assert named.encode("h:1") == b"GET /a HTTP/1.1\r\nhost: name.test\r\nX: 1\r\n\r\n"


def test_line_breaks_never_reach_the_wire() -> None:
    """A header or target with a line break is refused, so no request can smuggle another."""
    with pytest.raises(ValueError, match="line break"):
        Request("r", "/a\r\nX: 1").encode("h")
    with pytest.raises(ValueError, match="line break"):
        Request("r", "/a", headers={"X": "1\n2"}).encode("h")
