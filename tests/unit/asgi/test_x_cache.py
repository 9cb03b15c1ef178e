"""``X-Cache``: one word for what ``Cache-Status`` says."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, Response
from tests.unit.asgi.driver import App, ask
from tests.unit.asgi.http_cache.origin import Response as Answer
from tests.unit.asgi.http_cache.origin import Site

from tailrace import Tailrace, cached
from tailrace.asgi import XCacheMiddleware
from tailrace.settings import HttpSettings, Settings


async def test_what_the_cache_by_headers_did() -> None:
    """Each outcome has its word, and a stale answer is none of the fresh ones."""
    site = Site(
        {"cache-control": "max-age=60, stale-if-error=600"}, Answer({"cache-control": "max-age=60"}), Answer(status=503)
    )
    site.app = XCacheMiddleware(site.app)  # type: ignore[assignment]

    async def word(**fields: str) -> bytes:
        return (await site.get(**fields)).headers[b"x-cache"]

    assert [await word(), await word()] == [b"MISS", b"HIT"]
    assert await word(cache_control="no-store") == b"BYPASS"
    await site.later(70)
    assert await word(cache_control="max-stale") == b"STALE"
    assert await word() == b"STALE", "the origin fails"
    assert await word(method="POST") == b"BYPASS"


@pytest.mark.parametrize("timed", [False, True])
async def test_what_the_cache_by_policy_did(timed: bool) -> None:
    """By a setting, on every path that an answer can take, with the framework and before it."""
    app = FastAPI()
    http = HttpSettings(x_cache=True, server_timing=timed)
    tailrace = Tailrace(app, Settings(database_url=None, valkey_url=None, http=http))

    @app.get("/kept")
    @cached(ttl=60, shared=True)
    async def kept() -> int:
        return 1

    @app.get("/own")
    async def own(response: Response) -> int:
        return 1

    async with tailrace.running():
        for served in (app, tailrace):
            words: list[Any] = [(await ask(served, "/kept")).headers[b"x-cache"] for _ in range(3)]
            assert words[1:] == [b"HIT", b"HIT"]
            assert words[0] == (b"MISS" if served is app else b"HIT")
            assert b"x-cache" not in (await ask(served, "/own")).headers


async def test_what_others_say_is_not_ours() -> None:
    """Another cache's ``Cache-Status`` says nothing about this one."""
    app = XCacheMiddleware(App(headers=[(b"cache-status", b"other; hit")]))
    assert b"x-cache" not in (await ask(app)).headers
