"""How the response cache sends: stored responses, those of others, failures. Touches: the client's ``send``.

**Source:** RFC 9111 section 5.2.1.7; RFC 9211 (Cache-Status); RFC 9110 sections 9.3.2 (HEAD), 13 (conditions).
"""

from __future__ import annotations

from collections.abc import Awaitable

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.partial import part_of
from tailrace.asgi.prepared import fields_of_hit
from tailrace.asgi.problem_details import ErrorShape, Problem, render
from tailrace.asgi.recording import ResponseFailed
from tailrace.asgi.stored_response import NOT_STORED, StoredHead
from tailrace.asgi.types import Header, Message, Send
from tailrace.cache import Answer
from tailrace.core.conditions import is_not_modified, validators_of

__all__ = ["adding", "is_unchanged", "send_failed", "send_stored", "send_timeout", "without_body"]


def is_unchanged(headers: dict[bytes, bytes], head: StoredHead, now: float) -> bool:
    """True if the client holds the response already, so that 304 answers it.

    Only a 2xx has conditions (RFC 9110 section 13.2.1).
    """
    return (
        (b"if-none-match" in headers or b"if-modified-since" in headers)
        and 200 <= head.status < 300
        and is_not_modified(headers, validators_of(head.fields, now), now)
    )


async def send_stored(head: StoredHead, body: bytes, answer: Answer, exchange: Exchange, send: Send) -> None:
    """Send what the cache gave, the part of it that is wanted, or 304 in its place."""
    exchange.cache = answer.status
    status, headers, now = head.status, head.headers, answer.created_at + answer.age
    if is_unchanged(exchange.headers, head, now):
        status, headers, body = 304, head.not_modified, b""
    elif head.unfinished:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    elif b"range" in exchange.headers and status == 200 and exchange.method == "GET":
        status, headers, body = part_of(head, body, exchange.headers, now)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_told(answer)]})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})


def _told(answer: Answer) -> list[Header]:
    if answer.status in ("hit", "stale"):
        return fields_of_hit(answer.age, answer.ttl)
    return [(b"age", b"%d" % answer.age), (b"cache-status", _cache_status(answer))]


def _cache_status(answer: Answer) -> bytes:
    if answer.status == "miss":
        return b"tailrace; fwd=uri-miss; stored"
    return b"tailrace; fwd=uri-miss; collapsed" if answer.status == "collapsed" else b"tailrace; fwd=bypass"


def adding(send: Send, cache_status: bytes) -> Send:
    """``send`` that adds ``Cache-Status``."""

    def send_with_status(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"cache-status", cache_status)]}
        return send(message)

    return send_with_status


def without_body(exchange: Exchange, send: Send) -> Send:
    """``send`` for a client that asked with HEAD what the application was asked with GET."""
    if exchange.method != "HEAD":
        return send

    def send_head(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        return send(message)

    return send_head


async def send_failed(failed: ResponseFailed, *, own: bool, exchange: Exchange, send: Send) -> None:
    """Send the application's 5xx; to others than the one it was made for, without what was meant for that one."""
    headers = failed.headers if own else [header for header in failed.headers if header[0].lower() not in NOT_STORED]
    if not own and failed.status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % len(failed.body))]
    start = {"type": "http.response.start", "status": failed.status, "headers": headers}
    await adding(send, b"tailrace; fwd=uri-miss")(start)
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else failed.body})
    if own and failed.error is not None:
        raise failed.error


async def send_timeout(shape: ErrorShape | None, exchange: Exchange, send: Send) -> None:
    """504 to ``only-if-cached`` (RFC 9111 section 5.2.1.7); in ``shape``, or without a body."""
    headers, body = [(b"content-length", b"0")], b""
    if shape is not None:
        problem = Problem(504, "cache_miss", "The answer is not in the cache.", exchange.request_id)
        headers, body = render(problem, shape, exchange)
    headers.append((b"cache-status", b"tailrace; fwd=miss; detail=only-if-cached"))
    await send({"type": "http.response.start", "status": 504, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})
