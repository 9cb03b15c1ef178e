"""Sending what is stored: whole, a part of it, or 304 in its place. Touches: the client's ``send``, or its connection.

**Source:** RFC 9111 sections 4.2.3 and 5.1 (Age), 4.3.2 (conditions), 5.2.2.4 (no-cache with field names); RFC 9110
section 14 (ranges).
"""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache.parts import is_part, piece_of, span_within
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.partial import part_of
from tailrace.asgi.types import Header, Send
from tailrace.asgi.uvicorn_writer import UvicornWriter
from tailrace.core.conditions import is_not_modified

__all__ = ["serve"]


@dataclass(frozen=True, slots=True)
class _Whole:
    status: int
    headers: list[Header]
    not_modified: list[Header]
    fields: dict[bytes, bytes]


async def serve(
    stored: StoredResponse,
    exchange: Exchange,
    send: Send,
    *,
    now: float,
    status: bytes,
    validated: bool,
    writer: UvicornWriter | None = None,
) -> None:
    """Answer the request with ``stored``.

    Args:
        status: of the cache, the value of ``Cache-Status``.
        validated: the origin has confirmed it just now, so fields that need a validation may be sent.
        writer: writes a whole answer past ``send``, where it can; None: all are sent.
    """
    request = exchange.headers
    served = stored.served
    code, body = stored.status, stored.body
    headers = served.whole_validated if validated else served.whole
    not_modified = served.not_modified_validated if validated else served.not_modified
    conditional = b"if-none-match" in request or b"if-modified-since" in request
    if conditional and 200 <= code < 300 and is_not_modified(request, stored.validators(now), now):
        code, headers, body = 304, not_modified, b""
    elif is_part(stored):
        span = span_within(stored, request, now)
        assert span is not None  # or it would not have been chosen
        headers, body = piece_of(stored, headers, span)
    elif b"range" in request and code == 200 and exchange.method == "GET":
        code, headers, body = part_of(_Whole(code, headers, not_modified, stored.fields), body, request, now)
    exchange.cache = "hit"
    age = stored.age(now)
    if writer is not None and headers is served.whole and stored.lines:
        asked = writer.request_of(send)
        told_at_once = b"age: %d\r\ncache-status: %b\r\n" % (age, status)
        if asked is not None and writer.write(asked, code, [stored.lines, told_at_once], body):
            return
    told = [(b"age", b"%d" % age), (b"cache-status", status)]
    await send({"type": "http.response.start", "status": code, "headers": [*headers, *told]})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})
