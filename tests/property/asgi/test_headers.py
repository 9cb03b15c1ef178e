from __future__ import annotations

import asyncio
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.asgi.driver import App, ask

from tailrace.asgi import (
    ProblemDetailsMiddleware,
    RequestContextMiddleware,
    ResponseCacheMiddleware,
    RoutePolicy,
    by_path,
)
from tailrace.asgi.headers import cookie_values, safe_value, token_list
from tailrace.asgi.stored_response import decode_head, encode_response, head_length
from tailrace.cache import Cache
from tailrace.core.byte_ranges import parse_range
from tailrace.core.conditions import holds_range, is_not_modified, validators_of
from tailrace.core.http_date import parse_http_date
from tailrace.stores import MemoryStore

NAMES = [
    b"x-request-id",
    b"traceparent",
    b"cache-control",
    b"if-none-match",
    b"if-modified-since",
    b"cookie",
    b"host",
    b"tailrace-fresh",
    b"x-request-timeout",
    b"range",
    b"content-length",
]
LINE_END = re.compile(rb"[\r\n\x00]")
fields = st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=60)), max_size=8)


@settings(deadline=None)
@given(fields, st.binary(max_size=40))
def test_no_request_crashes_or_injects(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    """Whatever bytes a client sends, it is answered, and nothing of them ends a header line of the response."""
    cached = ResponseCacheMiddleware(
        App(), cache=Cache(MemoryStore()), resolve=by_path({"/": RoutePolicy(ttl=60, shared=True)})
    )
    app = RequestContextMiddleware(ProblemDetailsMiddleware(cached))
    reply = asyncio.run(ask(app, headers=headers, query_string=query))
    assert reply.status in (200, 206, 304, 416, 504)
    for name, value in reply.messages[0]["headers"]:
        assert not LINE_END.search(name + value)


@given(st.text(max_size=60))
def test_safe_value_is_one_line(text: str) -> None:
    """A text becomes a field value that holds no control character."""
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", safe_value(text))


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_readers_take_any_bytes(one: bytes, two: bytes) -> None:
    """Lists, cookies, dates and validators are read without an exception."""
    token_list(one)
    cookie_values(one, b"a")
    parse_http_date(one, 0)
    parse_range(one, 10)
    held = validators_of({b"etag": one, b"last-modified": two, b"date": one}, 0)
    is_not_modified({b"if-none-match": one}, held, 0)
    is_not_modified({b"if-modified-since": two}, held, 0)
    holds_range({b"if-range": one}, held, 0)


names = (
    st.binary(min_size=1, max_size=20)
    .map(bytes.lower)
    .filter(lambda name: not name.startswith((b"etag", b"content-l")))
)


@given(st.lists(st.tuples(names, st.binary(max_size=30)), max_size=6), st.binary(max_size=50), st.booleans())
def test_stored_response_comes_back(headers: list[tuple[bytes, bytes]], body: bytes, never_stale: bool) -> None:
    """What is stored is what is sent, in the same order, with repeats."""
    value = encode_response(200, headers, body, never_stale=never_stale, digest=b"d" * 16, vary=(b"a", b"b"))
    assert value is not None
    end = head_length(value)
    assert end is not None
    head = decode_head(value[:end], len(value) - end)
    assert head is not None
    kept = [header for header in head.headers if header[0] not in (b"etag", b"content-length")]
    assert kept == [header for header in headers if header in kept]
    assert (value[end:], head.never_stale, head.vary, head.vary_digest) == (body, never_stale, (b"a", b"b"), b"d" * 16)


@given(st.binary(max_size=120))
def test_no_stored_bytes_crash(value: bytes) -> None:
    """A damaged or foreign entry is no response, never an exception."""
    for data in (value, b"TR1" + value):
        end = head_length(data)
        if end is not None:
            decode_head(data[:end], len(data) - end)
