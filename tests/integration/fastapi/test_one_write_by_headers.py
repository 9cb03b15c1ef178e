"""Hits of the HTTP cache that are written to uvicorn's connections at once, beside the same hits sent by uvicorn."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from tests.integration.fastapi.counting_writer import Counting
from tests.integration.fastapi.serving import served, talk

from tailrace.asgi import HttpCacheMiddleware
from tailrace.cache import Cache
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

OF_A_MOMENT = re.compile(rb"(?m)^date: .*\r$")
KEPT = (b"cache-control", b"public, max-age=60")
ANSWERS: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {
    "/small": (200, [KEPT, (b"ETag", b'"1"'), (b"X-Own", b"\xe4")], b"hello"),
    "/large": (200, [KEPT, (b"content-type", b"text/plain")], b"0123456789" * 30_000),
    "/none": (204, [KEPT], b""),
    "/gone": (410, [KEPT], b"gone"),
    "/partly": (200, [(b"cache-control", b'public, max-age=60, no-cache="x-own"'), (b"x-own", b"1")], b"partly"),
    "/not-kept": (200, [(b"cache-control", b"no-store")], b"not kept"),
}


async def origin(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    status, fields, body = ANSWERS[scope["path"]]
    length = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*fields, *length]})
    await send({"type": "http.response.body", "body": body})


def get(path: str, *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "host: x", *fields, "", ""]).encode()


CLOSE = get("/small", "connection: close")
EACH = b"".join(get(path) for path in ANSWERS)
CONVERSATIONS = {
    "one after another": EACH * 3 + CLOSE,
    "without a body": get("/small", method="HEAD") + get("/large", method="HEAD") + get("/none", method="HEAD") + CLOSE,
    "not modified": get("/small", "if-none-match: *") + get("/small", 'if-none-match: "2"') + CLOSE,
    "a part": get("/small", "range: bytes=1-2") + get("/large", "range: bytes=0-0,5-6") + CLOSE,
    "asked for anew": get("/small", "cache-control: no-cache") + get("/small", "cache-control: max-age=0") + CLOSE,
    "to be closed": get("/gone", "connection: close") + get("/small"),
    "by HTTP/1.0": get("/small", version="1.0"),
    "by HTTP/1.0, kept alive": get("/partly", "connection: keep-alive", version="1.0") * 2,
}


async def told(conversation: bytes, *, at_once: bool) -> tuple[bytes, int]:
    """What comes back, and how many of it were written at once."""
    clock = FakeClock()
    layer = HttpCacheMiddleware(origin, cache=Cache(MemoryStore(), clock=clock), clock=clock, one_write=at_once)
    counting = Counting()
    if at_once:
        layer._writer = counting
    async with served(layer, lifespan="off") as port, asyncio.timeout(60):
        await talk(port, EACH + CLOSE)
        clock.step(3.0)
        counting.written = 0
        return OF_A_MOMENT.sub(b"", await talk(port, conversation)), counting.written


@pytest.mark.parametrize("conversation", CONVERSATIONS.values(), ids=CONVERSATIONS)
async def test_a_conversation_is_the_same(conversation: bytes) -> None:
    """Whatever is asked over one connection: the bytes that come back are the same, whether hits are written at once or
    sent by uvicorn."""
    sent, none = await told(conversation, at_once=False)
    written, answers = await told(conversation, at_once=True)
    assert written == sent
    assert not none
    assert answers
