"""Hits that are written to uvicorn's connections at once, beside the same hits sent by uvicorn."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Response, WebSocket
from tests.integration.fastapi.counting_writer import Counting
from tests.integration.fastapi.serving import serving, talk
from tests.waiting import wait_until

from tailrace import Tailrace, cached, limited
from tailrace.asgi.uvicorn_writer import KNOWN, steps_of_uvicorn
from tailrace.settings import HttpSettings, Settings

OF_A_MOMENT = re.compile(rb"(?m)^(date|x-response-time|age|ratelimit|x-ratelimit-reset): .*\r$|(?<=ttl=)\d+")
LARGE = 300_000
PATHS = ("/small", "/large", "/limited", "/empty", "/finished")


def service(*, at_once: bool) -> Tailrace:
    app = FastAPI()
    settings = Settings(database_url=None, valkey_url=None, http=HttpSettings(one_write=at_once))
    tailrace = Tailrace(app, settings)
    keep = cached(ttl=600, shared=True, jitter=0.0)

    @app.get("/small")
    @keep
    async def small() -> Response:
        return Response("hello", headers={"X-Own": "\xe4"}, media_type="text/plain")

    @app.get("/large")
    @keep
    async def large() -> Response:
        return Response(b"0123456789" * (LARGE // 10), media_type="application/octet-stream")

    @app.get("/limited")
    @limited("100/minute")
    @keep
    async def counted() -> dict[str, str]:
        return {"a": "b" * 2000}

    @app.get("/empty", status_code=204)
    @keep
    async def empty() -> None:
        return None

    @app.get("/finished")
    @cached(ttl=600, shared=True, jitter=0.0, finish=lambda body, answer: b"%s, finished" % body)
    async def finished() -> Response:
        return Response("made", media_type="text/plain")

    @app.get("/plain")
    async def plain() -> dict[str, str]:
        return {}

    @app.websocket("/socket")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(await socket.receive_text())
        await socket.close()

    return tailrace


def get(path: str, *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "host: x", "x-request-id: 7", *fields, "", ""]).encode()


CLOSE = get("/small", "connection: close")
WARM = b"".join(get(path) for path in PATHS) + get("/limited", "accept-encoding: gzip")
EACH = b"".join(get(path) for path in PATHS)
CONVERSATIONS = {
    "one after another": EACH * 3 + CLOSE,
    "others between them": (get("/plain") + get("/small") + get("/nowhere") + get("/limited")) * 3 + CLOSE,
    "without a body": get("/small", method="HEAD") + get("/small") + get("/large", method="HEAD") + CLOSE,
    "not modified": get("/small", "if-none-match: *") * 2 + get("/limited", 'if-none-match: "x"') + CLOSE,
    "compressed": get("/limited", "accept-encoding: gzip") * 2 + CLOSE,
    "to be closed": get("/limited", "connection: close") + get("/small"),
    "not modified, to be closed": get("/small", "if-none-match: *", "connection: close"),
    "by HTTP/1.0": get("/small", version="1.0"),
    "by HTTP/1.0, kept alive": get("/small", "connection: keep-alive", version="1.0") * 2,
    "expecting leave to go on": get("/small", "expect: 100-continue") + CLOSE,
    "with a body": get("/small", "content-length: 3") + b"abc" + CLOSE,
    "another protocol offered": get("/small", "connection: upgrade", "upgrade: h2c") + CLOSE,
    "nonsense behind it": get("/small") + b"nonsense\r\n\r\n",
}


def normal(answer: bytes) -> bytes:
    return OF_A_MOMENT.sub(lambda found: found[1] or b"", answer)


def figures(tailrace: Tailrace) -> dict[Any, Any]:
    counted = {}
    for name in ("http.server.request.duration", "tailrace.cache.lookup.duration"):
        counted |= {(name, labels): sum(values[1:]) for labels, values in tailrace.metrics[name].series.items()}
    for name in ("tailrace.http.response.bytes", "tailrace.response_cache.requests", "tailrace.limit.decisions"):
        counted |= {(name, labels): list(values) for labels, values in tailrace.metrics[name].series.items()}
    return counted


def listen(tailrace: Tailrace) -> Counting:
    assert tailrace._hits is not None
    counting = tailrace._hits._writer = Counting()
    return counting


async def connected(server: uvicorn.Server, tailrace: Tailrace) -> tuple[Counting, asyncio.StreamReader, Any]:
    """A connection over which a hit was written, and what counts them."""
    port = server.servers[0].sockets[0].getsockname()[1]
    await talk(port, WARM + CLOSE)
    counting = listen(tailrace)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/small"))
    await reader.readuntil(b"hello")
    return counting, reader, writer


class Lines(logging.Handler):
    """Keeps the access log, without the client's port."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().partition(" - ")[2])


@pytest.fixture
def access_log() -> Any:
    lines, log = Lines(), logging.getLogger("uvicorn.access")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    yield lines.lines
    log.removeHandler(lines)
    log.setLevel(logging.NOTSET)


async def told(conversation: bytes, access_log: list[str], *, at_once: bool) -> Any:
    """All that shows of a conversation: the answer, the server's count and log, the figures; and what was written."""
    tailrace = service(at_once=at_once)
    config = {"headers": [("X-Server", "s")], "timeout_graceful_shutdown": 30}
    async with serving(tailrace, **config) as server, asyncio.timeout(60):
        port = server.servers[0].sockets[0].getsockname()[1]
        await talk(port, WARM + CLOSE)
        counting = listen(tailrace) if at_once else None
        access_log.clear()
        answer = await talk(port, conversation)
        shown = normal(answer), server.server_state.total_requests, list(access_log), figures(tailrace)
    return shown, counting and counting.written


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_a_conversation_is_the_same(conversation: bytes, access_log: list[str]) -> None:
    """Whatever is asked in whatever order over one connection: the bytes that come back, when it ends, what is logged
    and what is counted are the same, whether hits are written at once or sent by uvicorn."""
    sent, _ = await told(conversation, access_log, at_once=False)
    written, answers = await told(conversation, access_log, at_once=True)
    assert written == sent
    assert answers


def test_this_uvicorn_is_known() -> None:
    """Whoever raises uvicorn's version learns that its ``send`` has changed, and looks at what is written past it."""
    assert steps_of_uvicorn() in KNOWN


async def test_who_does_not_read_is_not_written_to() -> None:
    """While a client leaves what it asked for unread, no more than one answer beyond the buffer's mark is made for it;
    as soon as it reads it gets all of them, whole."""
    tailrace, asked = service(at_once=True), 60
    async with serving(tailrace) as server:
        address = server.servers[0].sockets[0].getsockname()
        await talk(address[1], get("/large", "connection: close"))
        counting = listen(tailrace)
        with socket.create_connection(address[:2]) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, get("/large") * (asked - 1) + get("/large", "connection: close"))
            await wait_until(lambda: any(each.flow.write_paused for each in server.server_state.connections))
            (connection,) = server.server_state.connections
            held = 0
            for _ in range(100):
                await asyncio.sleep(0)
                held = max(held, connection.transport.get_write_buffer_size())
            assert held < 65536 + LARGE + 2000
            assert counting.written < asked
            answer = b""
            while answer.count(b"HTTP/1.1 200") < asked or not answer.endswith(
                b"\r\n\r\n" + b"0123456789" * (LARGE // 10)
            ):
                answer += await loop.sock_recv(client, 1 << 20)
    heads = [part.partition(b"\r\n\r\n") for part in answer.split(b"HTTP/1.1 200 OK\r\n")[1:]]
    assert [len(body) for _, _, body in heads] == [LARGE] * asked
    assert counting.written > 0


async def test_connections_end_as_uvicorn_ends_them() -> None:
    """A connection over which a hit was written is closed when nothing comes for as long as uvicorn waits, and at once
    when the server stops."""
    for wait, stops in ((0.05, False), (75, True)):
        tailrace = service(at_once=True)
        async with serving(tailrace, timeout_keep_alive=wait) as server:
            counting, reader, writer = await connected(server, tailrace)
            server.should_exit = stops
            async with asyncio.timeout(30):
                assert await reader.read() == b""
            writer.close()
        assert counting.written == 1


async def test_a_client_that_is_gone_harms_nobody() -> None:
    """Clients that leave without reading their answers leave nothing behind: no failure, no request that never ends."""
    tailrace = service(at_once=True)
    async with serving(tailrace) as server:
        address = server.servers[0].sockets[0].getsockname()
        await talk(address[1], WARM + CLOSE)
        counting = listen(tailrace)
        for _ in range(20):
            with socket.create_connection(address[:2]) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # closed by a reset
                client.sendall(get("/small") * 3 + get("/large") * 5)
        await wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)
        assert b"hello" in await talk(address[1], CLOSE)
        assert counting.written > 0


async def test_websockets_are_served_beside_hits() -> None:
    """An upgrade on a connection that hits were written to before works as ever."""
    tailrace = service(at_once=True)
    async with serving(tailrace) as server:
        counting, reader, writer = await connected(server, tailrace)
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(get("/socket", "connection: upgrade", "upgrade: websocket", key, "sec-websocket-version: 13"))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"\x81\x82\0\0\0\0hi")
        assert b"hi" in await reader.readuntil(b"hi")
        writer.close()
        assert counting.written == 1
