"""Ranges through a cache that keeps parts, beside the body that there is."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.asgi.driver import ask

from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.cache import Cache
from tailrace.core.byte_ranges import content_range, parse_content_range, parse_range
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

LENGTH = 12
positions = st.integers(0, LENGTH + 2)
ranges = st.one_of(
    st.none(),
    st.builds("bytes={}-{}".format, positions, positions),
    st.builds("bytes={}-".format, positions),
    st.builds("bytes=-{}".format, positions),
    st.builds("bytes={}-{},{}-{}".format, positions, positions, positions, positions),
)
steps = st.one_of(
    st.tuples(st.just("get"), ranges),
    st.tuples(st.just("change"), st.none()),
    st.tuples(st.just("pass"), st.integers(1, 9)),
)


def expected(asked: Any, status: int, told: bytes | None, versions: list[bytes]) -> list[bytes] | None:
    """What each version would give; None where there is no body of one part."""
    spans = None if asked is None else parse_range(asked.encode(), LENGTH)
    if status == 416:
        assert spans == ()
        return None
    if status != 206:
        return versions
    if told is None:
        assert spans is not None
        assert len(spans) > 1, "several parts, whose form has its own tests"
        return None
    run = parse_content_range(told)
    assert run is not None
    assert spans == (run[0],)
    return [each[run[0][0] : run[0][1] + 1] for each in versions]


@settings(deadline=None)
@given(st.lists(steps, max_size=20), st.booleans())
def test_every_byte_is_of_one_version(history: list[Any], validators: bool) -> None:
    """Whatever parts are held, each answer is what the origin would say of some version, never a mixture, and a fresh
    one of a version that was there within its lifetime."""
    clock = FakeClock()
    versions = [bytes([65] * LENGTH)]
    replaced: dict[bytes, float] = {}

    async def origin(scope: Any, receive: Any, send: Any) -> None:
        fields = dict(scope["headers"])
        body = versions[-1]
        headers = [(b"cache-control", b"max-age=5")] + ([(b"etag", b'"%d"' % len(versions))] if validators else [])
        status, sent = 200, body
        spans = parse_range(fields.get(b"range"), LENGTH)
        if validators and fields.get(b"if-none-match") == b'"%d"' % len(versions):
            status, sent = 304, b""
        elif spans is not None and len(spans) == 1:
            status, sent = 206, body[spans[0][0] : spans[0][1] + 1]
            headers.append((b"content-range", content_range(spans[0], LENGTH)))
        elif spans == ():
            status, sent = 416, b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": sent})

    async def live() -> None:
        app = HttpCacheMiddleware(origin, cache=Cache(MemoryStore(clock=clock), clock=clock), clock=clock)
        for kind, what in history:
            if kind == "pass":
                await clock.advance(what)
            elif kind == "change":
                replaced[versions[-1]] = clock.now()
                versions.append(bytes([65 + len(versions)] * LENGTH))
            else:
                headers = [] if what is None else [(b"range", what.encode())]
                reply = await ask(app, headers=headers)
                said = expected(what, reply.status, reply.headers.get(b"content-range"), versions)
                if said is None:
                    continue
                found = [each for each, part in zip(versions, said, strict=True) if part == reply.body]
                assert len(found) == 1
                assert clock.now() - replaced.get(found[0], clock.now()) < 5

    asyncio.run(live())
