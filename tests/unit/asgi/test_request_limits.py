from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI, Request
from tests.unit.asgi.driver import Reply, http_scope

from tailrace import Tailrace
from tailrace.asgi import ProblemDetailsMiddleware, RequestLimitsMiddleware
from tailrace.settings import HttpSettings, Settings

LIMIT = 1000


async def post(app: Any, pieces: list[bytes], headers: list[tuple[bytes, bytes]], **scope: Any) -> tuple[Reply, int]:
    """The reply, and how many of the pieces were asked for."""
    reply, left = Reply(), list(pieces)

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    await app({**http_scope("/"), "method": "POST", "headers": headers, **scope}, receive, send)
    return reply, len(pieces) - len(left)


def service() -> FastAPI:
    """Answers the length of what it read, and of JSON that it could not read what a framework says of that."""
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/json")
    async def parse(body: list[int]) -> int:
        return len(body)

    Tailrace(app, Settings(database_url=None, valkey_url=None, http=HttpSettings(max_body=LIMIT)))
    return app


CHUNKED = [(b"transfer-encoding", b"chunked")]


async def test_a_declared_length_is_enough() -> None:
    """Too much is refused before a byte is read, in the shape of every failure; as much as allowed passes."""
    reply, read = await post(service(), [b"x" * 1001], [(b"content-length", b"1001")])
    assert (reply.status, json.loads(reply.body)["code"], read) == (413, "content_too_large", 0)
    reply, _ = await post(service(), [b"x" * 1000], [(b"content-length", b"1000")])
    assert (reply.status, reply.body) == (200, b"1000")


@pytest.mark.parametrize(("headers", "scope"), [(CHUNKED, {}), ([], {"http_version": "2"})], ids=["chunked", "HTTP/2"])
async def test_a_body_of_unknown_length_is_counted(headers: Any, scope: Any) -> None:
    """Reading ends where the limit is passed."""
    reply, read = await post(service(), [b"x" * 400] * 10, headers, **scope)
    assert (reply.status, read) == (413, 3)
    reply, _ = await post(service(), [b"x" * 400, b"x" * 600], headers, **scope)
    assert (reply.status, reply.body) == (200, b"1000")


async def test_a_length_beside_chunks_is_not_believed() -> None:
    """Where both are sent, the chunks are what arrives (RFC 9112 6.3)."""
    reply, _ = await post(service(), [b"x" * 400] * 10, [(b"content-length", b"1"), *CHUNKED])
    assert reply.status == 413


async def test_what_the_framework_makes_of_it_does_not_matter() -> None:
    """FastAPI answers 400 to whatever goes wrong in reading; the client is told 413 all the same."""
    reply, _ = await post(service(), [b"[1," + b"1," * 400] * 3, CHUNKED, path="/json", raw_path=b"/json")
    assert (reply.status, json.loads(reply.body)["code"]) == (413, "content_too_large")


@pytest.mark.parametrize(
    ("length", "status"), [(b"9" * 5000, 413), (b"-1", 400), (b"1e3", 400), (b"\xb2", 400), (b"", 400)]
)
async def test_lengths_that_are_none(length: bytes, status: int) -> None:
    """However many digits, and whatever else: an answer, and nothing is read."""
    reply, read = await post(service(), [b"x"], [(b"content-length", length)])
    assert (reply.status, read) == (status, 0)


async def test_what_is_not_http_passes() -> None:
    """A lifespan has no body."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await RequestLimitsMiddleware(app, max_body=1)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


async def test_an_answer_that_has_begun_stands() -> None:
    """Whoever answers first and reads afterwards learns of the limit as an error, and has the connection broken off."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()

    with pytest.raises(Exception, match="must not be longer"):
        await post(ProblemDetailsMiddleware(RequestLimitsMiddleware(app, max_body=1)), [b"xx"], CHUNKED)


@pytest.mark.parametrize(
    "headers", [[(b"x-a", b"a" * 70_000)], [(b"x-%d" % n, b"a" * 700) for n in range(100)], [(b"x", b"")] * 201]
)
async def test_header_fields_have_an_end(headers: Any) -> None:
    """One that is too long, many that are too long together, and too many: 431."""
    reply, _ = await post(service(), [b""], [*headers, (b"content-length", b"0")])
    assert (reply.status, json.loads(reply.body)["code"]) == (431, "headers_too_large")


async def test_no_limit() -> None:
    """A service that takes uploads of any size says 0."""
    app = FastAPI()

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    Tailrace(app, Settings(database_url=None, valkey_url=None, http=HttpSettings(max_body=0)))
    reply, _ = await post(app, [b"x" * 30_000_000], [(b"content-length", b"30000000")])
    assert (reply.status, reply.body) == (200, b"30000000")
