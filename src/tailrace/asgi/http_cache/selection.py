"""Which of what is stored may answer a request, and why one is passed on instead. Pure.

**Source:** RFC 9111 sections 3.5 (Authorization) and 4; RFC 9110 section 14.2 (Range); RFC 9211 section 2.2 (fwd).
"""

from __future__ import annotations

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache.shelf import Found
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.core.cache_control import CacheControl

__all__ = ["answering", "is_private", "is_ranged", "why_forwarded"]

PRIVATE = frozenset({b"authorization", b"cookie"})
"""Fields of requests that say who asks: what is stored answers them only if it says that it is for all."""


def answering(found: Found, exchange: Exchange) -> StoredResponse | None:
    """The newest of what was found that may answer whoever asks."""
    private = is_private(exchange)
    return next((each for each in found.responses if not private or each.control.for_all), None)


def is_private(exchange: Exchange) -> bool:
    """Whether the request says who asks."""
    return not PRIVATE.isdisjoint(exchange.headers)


def is_ranged(exchange: Exchange) -> bool:
    """Whether a part may be wanted; ``Range`` means nothing for other methods."""
    return exchange.method == "GET" and b"range" in exchange.headers


def why_forwarded(found: Found, stored: StoredResponse | None, asked: CacheControl) -> bytes:
    """Why the request is passed on, in the words of RFC 9211."""
    if stored is None:
        return b"vary-miss" if found.others else b"uri-miss"
    return b"request" if asked.no_cache or asked.max_age is not None else b"stale"
