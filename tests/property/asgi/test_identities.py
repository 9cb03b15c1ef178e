from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.asgi.driver import ask

from tailrace.asgi import Resolved, ResponseCacheMiddleware, RoutePolicy
from tailrace.cache import Cache
from tailrace.stores import MemoryStore

# Few and awkward values, so that parts of a request often coincide, contain one another or meet at a seam.
pieces = st.sampled_from(["", "1", "11", "1:1", "a", "-;", "1:1;", "a&b", "é", "/"])
requests = st.tuples(pieces, pieces, st.sampled_from([b"", b"a=1", b"a=1&b=2", b"a=11", b"a=1;b=2", b"%61=1"]), pieces)


def describe(identity: str, path: str, query: bytes, vary: str) -> bytes:
    return json.dumps([identity, path, sorted(query.decode().split("&")), vary]).encode()


@settings(deadline=None)
@given(st.lists(requests, min_size=1, max_size=12))
def test_nobody_gets_anothers_body(asked: list[tuple[str, str, bytes, str]]) -> None:
    """Whatever is asked by whomever, in any order and again: the body is the one made for that very request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        fields = dict(scope["headers"])
        body = describe(
            fields[b"x-user"].decode("latin-1"),
            scope["path"],
            scope["query_string"],
            fields[b"x-vary"].decode("latin-1"),
        )
        headers = [(b"content-length", b"%d" % len(body)), (b"vary", b"x-vary")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    policy = RoutePolicy(ttl=60, identity=lambda exchange: "u" + (exchange.header("x-user") or ""))
    resolved = Resolved("/{path}", policy)
    cached = ResponseCacheMiddleware(app, cache=Cache(MemoryStore()), resolve=lambda scope: resolved)

    async def run() -> None:
        for _ in range(2):
            replies = await asyncio.gather(
                *[
                    ask(
                        cached,
                        "/" + path,
                        query_string=query,
                        headers=[(b"x-user", user.encode("latin-1")), (b"x-vary", vary.encode("latin-1"))],
                    )
                    for user, path, query, vary in asked
                ]
            )
            for (user, path, query, vary), reply in zip(asked, replies, strict=True):
                assert json.loads(reply.body) == json.loads(describe(user, "/" + path, query, vary))

    asyncio.run(run())
