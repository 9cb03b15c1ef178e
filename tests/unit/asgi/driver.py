"""Asks an ASGI application without a server, message by message."""

from __future__ import annotations

import asyncio
import sys
import zlib
from dataclasses import dataclass, field
from typing import Any

import brotli

from tailrace.asgi.headers import read_headers

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass
class Reply:
    """What the application sent."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return read_headers(list(self.messages[0]["headers"]))

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages if m["type"] == "http.response.body")

    @property
    def content(self) -> bytes:
        """The body without its coding, by decoders that are not the product's."""
        return decoded(self.body, self.headers.get(b"content-encoding", b"").decode())

    @property
    def cache_status(self) -> bytes:
        return self.headers.get(b"cache-status", b"")


def decoded(body: bytes, encoding: str) -> bytes:
    """What a client reads; fails unless ``body`` is one whole stream of that coding."""
    if encoding == "gzip":
        stream = zlib.decompressobj(31)
        found = stream.decompress(body)
        assert stream.eof
        assert not stream.unused_data
        return found
    if encoding == "br":
        return bytes(brotli.decompress(body))
    if encoding == "zstd":
        reader = zstd.ZstdDecompressor()
        found = bytes(reader.decompress(body))
        assert reader.eof
        assert not reader.unused_data
        return found
    assert not encoding
    return body


def http_scope(path: str = "/", **changes: Any) -> dict[str, Any]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("192.0.2.7", 4711),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
        "state": {},
    }
    return {**scope, **changes}


async def ask(app: Any, path: str = "/", **changes: Any) -> Reply:
    """One request; ``headers`` are added to Host."""
    extra = [(name, value) for name, value in changes.pop("headers", [])]
    scope = http_scope(path, **changes)
    scope["headers"] = [*scope["headers"], *extra]
    reply = Reply()

    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the client stays
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        reply.messages.append(dict(message))

    await app(scope, receive, send)
    return reply


class App:
    """An application that answers what it is told, and counts."""

    def __init__(self, body: bytes = b"hello", status: int = 200, headers: Any = ()) -> None:
        self.body = body
        self.status = status
        self.headers = list(headers)
        self.calls = 0
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls += 1
        self.scopes.append(scope)
        length = (b"content-length", b"%d" % len(self.body))
        await send({"type": "http.response.start", "status": self.status, "headers": [length, *self.headers]})
        await send({"type": "http.response.body", "body": self.body})
