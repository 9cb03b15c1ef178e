"""Sending what is stored: whole, a part of it, or 304 in its place. Touches: the client's ``send``.

**Source:** RFC 9111 sections 4.2.3 and 5.1 (Age), 4.3.2 (conditions), 5.2.2.4 (no-cache with field names); RFC 9110
sections 14 (ranges) and 15.4.5 (304).
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.http_cache.storing import directives_of
from tailrace.asgi.partial import part_of
from tailrace.asgi.types import Header, Send
from tailrace.core.conditions import is_not_modified

__all__ = ["serve"]

IN_304 = frozenset({b"cache-control", b"cdn-cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"})
"""RFC 9110 section 15.4.5."""

WITHOUT_CONTENT = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class _Whole:
    status: int
    headers: list[Header]
    not_modified: list[Header]
    fields: dict[bytes, bytes]


async def serve(
    stored: StoredResponse, exchange: Exchange, send: Send, *, now: float, status: bytes, validated: bool
) -> None:
    """Answer the request with ``stored``.

    Args:
        status: of the cache, the value of ``Cache-Status``.
        validated: the origin has confirmed it just now, so fields that need a validation may be sent.
    """
    request = exchange.headers
    told = [(b"age", b"%d" % stored.age(now)), (b"cache-status", status)]
    headers = stored.headers if validated else _unqualified(stored)
    not_modified = [header for header in headers if header[0] in IN_304]
    code, body = stored.status, stored.body
    conditional = b"if-none-match" in request or b"if-modified-since" in request
    if conditional and 200 <= code < 300 and is_not_modified(request, stored.validators(now), now):
        code, headers, body = 304, not_modified, b""
    elif code not in WITHOUT_CONTENT:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        if b"range" in request and code == 200 and exchange.method == "GET":
            whole = _Whole(code, headers, not_modified, stored.fields)
            code, headers, body = part_of(whole, body, request, now)
    exchange.cache = "hit"
    await send({"type": "http.response.start", "status": code, "headers": [*headers, *told]})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})


def _unqualified(stored: StoredResponse) -> list[Header]:
    """The fields but those that ``no-cache`` names."""
    named = directives_of(stored.fields).control.no_cache_fields
    return (
        [header for header in stored.headers if header[0].decode("latin-1") not in named] if named else stored.headers
    )
