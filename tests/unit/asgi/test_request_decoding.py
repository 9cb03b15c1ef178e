from __future__ import annotations

import json
import zlib
from typing import Any

import brotli
import pytest
from tests.unit.asgi.driver import Reply, http_scope, zstd

from tailrace.asgi import ProblemDetailsMiddleware, RequestDecodingMiddleware
from tailrace.settings import CompressionSettings

BODY = b'{"name": "a call"}' * 100
ENCODED = {
    b"gzip": lambda body: zlib.compress(body, 9, 31),
    b"x-gzip": lambda body: zlib.compress(body, 9, 31),
    b"br": brotli.compress,
    b"zstd": zstd.compress,
}


class Reader:
    """Reads the body, as frameworks do, and answers with it; 400 if it cannot be read."""

    def __init__(self) -> None:
        self.body = b""
        self.headers: dict[bytes, bytes] = {}
        self.largest = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers = dict(scope["headers"])
        status, self.body = 200, b""
        try:
            more = True
            while more:
                message = await receive()
                self.body += message["body"]
                self.largest = max(self.largest, len(message["body"]))
                more = message["more_body"]
        except Exception:
            status = 400
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"the application's own words"})


async def post(body: bytes, encoding: bytes, *, pieces: int = 1, **settings: Any) -> tuple[Reply, Reader]:
    reader = Reader()
    app = ProblemDetailsMiddleware(RequestDecodingMiddleware(reader, settings=CompressionSettings(**settings)))
    size = max(1, -(-len(body) // pieces))
    chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    headers = [(b"content-encoding", encoding), (b"content-length", b"%d" % len(body))]
    reply = Reply()

    async def receive() -> Any:
        if not chunks:
            return {"type": "http.disconnect"}
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    await app({**http_scope(), "method": "POST", "headers": headers}, receive, send)
    return reply, reader


@pytest.mark.parametrize("pieces", [1, 3, 1000])
@pytest.mark.parametrize("encoding", ENCODED)
async def test_the_application_reads_what_was_meant(encoding: bytes, pieces: int) -> None:
    """A body in any coding, however it arrives, is read as it was, with no word of the coding left."""
    reply, reader = await post(ENCODED[encoding](BODY), encoding, pieces=pieces)
    assert (reply.status, reader.body) == (200, BODY)
    assert reader.headers == {}


async def test_an_empty_body() -> None:
    """Nothing is nothing in every coding."""
    reply, reader = await post(b"", b"gzip")
    assert (reply.status, reader.body) == (200, b"")


async def test_no_coding() -> None:
    """Identity is none, and a body without the field is not touched."""
    reply, reader = await post(BODY, b"identity")
    assert (reply.status, reader.body) == (200, BODY)
    assert reader.headers == {b"content-length": b"%d" % len(BODY)}


@pytest.mark.parametrize("encoding", [b"deflate", b"gzip, gzip", b"gzip,br", b"", b"\r\nx: y"])
async def test_a_coding_that_is_not_at_hand(encoding: bytes) -> None:
    """415, with what is at hand; codings upon codings are not taken apart."""
    reply, _ = await post(BODY, encoding)
    assert reply.status == 415
    assert reply.headers[b"accept-encoding"] == b"zstd, br, gzip"
    assert json.loads(reply.body)["code"] == "content_encoding_unsupported"


@pytest.mark.parametrize("encoding", ENCODED)
async def test_damage(encoding: bytes) -> None:
    """400 in the service's shape, whatever the application made of it."""
    whole = ENCODED[encoding](BODY)
    for wrong in (b"not a stream at all", whole[:-2], whole + b"more"):
        reply, _ = await post(wrong, encoding)
        assert reply.status == 400
        assert json.loads(reply.body)["code"] == "content_encoding_invalid"


@pytest.mark.parametrize("encoding", ENCODED)
async def test_a_bomb_does_not_go_off(encoding: bytes) -> None:
    """413 as soon as a bound is passed; the application never held more than that, in small pieces."""
    bomb = ENCODED[encoding](bytes(50_000_000))
    for settings in ({"max_request_bytes": 300_000, "max_request_ratio": 1e9}, {"max_request_ratio": 10.0}):
        reply, reader = await post(bomb, encoding, **settings)
        assert reply.status == 413
        assert json.loads(reply.body)["code"] == "content_too_large"
        assert len(reader.body) <= max(300_000, 10 * len(bomb))
        assert reader.largest <= 128 * 1024


async def test_a_small_body_may_be_dense() -> None:
    """The ratio counts only where there is something to fear."""
    body = b"a" * 60_000
    reply, reader = await post(zlib.compress(body, 9, 31), b"gzip", max_request_ratio=2.0)
    assert (reply.status, reader.body) == (200, body)


async def test_an_answer_that_has_begun_is_not_taken_back() -> None:
    """An application that answers first and reads afterwards gets the error itself."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await receive()

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"no gzip", "more_body": False}

    scope = {**http_scope(http_version="2"), "headers": [(b"content-encoding", b"gzip")]}
    with pytest.raises(Exception, match="not what its Content-Encoding says"):
        await RequestDecodingMiddleware(app)(scope, receive, send)
    assert [message["status"] for message in sent] == [202]


async def test_after_the_body_the_client_leaves() -> None:
    """What follows the body is the server's to say."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])

    messages = [
        {"type": "http.request", "body": zlib.compress(b"a", 6, 31), "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    scope = {**http_scope(http_version="2"), "headers": [(b"content-encoding", b"gzip")]}
    await RequestDecodingMiddleware(app)(scope, receive, receive)  # type: ignore[arg-type]
    assert seen == [{"type": "http.request", "body": b"a", "more_body": False}, {"type": "http.disconnect"}]


@pytest.mark.parametrize(
    ("version", "fields", "status"),
    [
        ("1.1", [], 200),
        ("1.1", [(b"content-length", b"0")], 200),
        ("1.1", [(b"content-length", b"1")], 415),
        ("1.1", [(b"transfer-encoding", b"chunked")], 415),
        ("2", [], 415),
    ],
)
async def test_where_no_coding_is_taken(version: str, fields: list[Any], status: int) -> None:
    """A body with one is refused before it is read; what has no body is served, without a word of the coding."""
    reader, reply = Reader(), Reply()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    headers = [(b"content-encoding", b"gzip"), *fields]
    app = ProblemDetailsMiddleware(RequestDecodingMiddleware(reader, decode=False))
    await app({**http_scope(http_version=version), "headers": headers}, receive, send)
    assert reply.status == status
    assert reply.headers.get(b"accept-encoding") == (b"identity" if status == 415 else None)
    assert b"content-encoding" not in reader.headers
