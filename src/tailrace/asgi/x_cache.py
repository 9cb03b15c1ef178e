"""``X-Cache``: what ``Cache-Status`` says, in the one word that older tools look for. Touches: the client's ``send``.

**Source:** RFC 9211 (Cache-Status); ``X-Cache`` itself is a custom of caches and of no standard.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable

from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["XCacheMiddleware", "x_cache_of"]

_HIT = re.compile(rb"tailrace; hit(?:; ttl=(-)?\d+)?(; fwd=stale)?")
_FORWARDED = re.compile(rb"tailrace; fwd=([a-z-]+)")
_PASSED = frozenset({b"bypass", b"method", b"request"})


def x_cache_of(status: bytes) -> bytes:
    """HIT, STALE (served although it is), MISS, or BYPASS (the cache was not asked).

    Args:
        status: what Tailrace said in ``Cache-Status``.

    >>> x_cache_of(b"tailrace; hit; ttl=42"), x_cache_of(b"tailrace; hit; ttl=-3")
    (b'HIT', b'STALE')
    >>> x_cache_of(b"tailrace; fwd=uri-miss; stored"), x_cache_of(b"tailrace; fwd=method")
    (b'MISS', b'BYPASS')
    """
    hit = _HIT.match(status)
    if hit is not None:
        return b"STALE" if hit[1] or hit[2] else b"HIT"
    forwarded = _FORWARDED.match(status)
    return b"BYPASS" if forwarded is not None and forwarded[1] in _PASSED else b"MISS"


class XCacheMiddleware:
    """Adds ``X-Cache`` to every response of which a cache of Tailrace's says what it did.

    Args:
        app: everything whose caches are meant; it stands outside of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        def send_in_one_word(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                told = [value for name, value in headers if name == b"cache-status" and value.startswith(b"tailrace;")]
                if told:
                    message = {**message, "headers": [*headers, (b"x-cache", x_cache_of(told[-1]))]}
            return send(message)

        await self.app(scope, receive, send_in_one_word)
