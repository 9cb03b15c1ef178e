"""Defects that were found in packages for the same work, each tried on a service in its plainest form.

The docstring names the defect as a rule that holds here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Response
from pydantic import BaseModel
from tests.integration.fastapi.serving import served, talk
from tests.unit.asgi.driver import Reply, ask

from tailrace import Tailrace, cached
from tailrace.settings import RateLimitSettings, Settings
from tailrace.testing.clock import FakeClock

LONG = "tailrace " * 200


def service(clock: FakeClock | None = None, **settings: Any) -> tuple[FastAPI, dict[str, int]]:
    """Routes whose responses say what caches must obey; ``counted`` has how often each was computed."""
    app, counted = FastAPI(), {}
    Tailrace(app, Settings(database_url=None, valkey_url=None, **settings), clock=clock)

    def add(path: str, *headers: tuple[str, str], body: str = "x") -> None:
        @app.get(path)
        @cached(ttl=60, shared=True)
        async def endpoint(response: Response) -> str:
            counted[path] = counted.get(path, 0) + 1
            for name, value in headers:
                response.headers[name] = value
            return f"{body}{counted[path]}"

    add("/plain")
    add("/long", ("etag", '"strong"'), body=LONG)
    add("/no-store", ("cache-control", "no-store"))
    add("/private", ("cache-control", "private"))
    add("/own", ("cache-control", "max-age=7, stale-if-error=9"))
    add("/malformed", ("cache-control", "max-age=abc, s-maxage=, max-age"))
    add("/language", ("vary", "accept-language"))
    return app, counted


async def twice(app: Any, path: str, **changes: Any) -> tuple[Reply, Reply]:
    return await ask(app, path, **changes), await ask(app, path, **changes)


async def test_general_limits_hold_on_included_routers() -> None:
    """A limit for all routes is one for those too that come by ``include_router``."""
    app, router = FastAPI(), APIRouter(prefix="/inner")

    @router.get("/route")
    async def route() -> str:
        return "x"

    limits = RateLimitSettings(general="2/hour")
    Tailrace(app, Settings(database_url=None, valkey_url=None, rate_limit=limits), clock=FakeClock())
    app.include_router(router)
    assert [(await ask(app, "/inner/route")).status for _ in range(3)] == [200, 200, 429]


async def test_clients_do_not_share_a_bucket_by_default() -> None:
    """One client that asks too much does not shut the others out."""
    app, _ = service(FakeClock(), rate_limit=RateLimitSettings(general="1/hour"))
    first, second = await twice(app, "/plain")
    assert (first.status, second.status) == (200, 429)
    assert (await ask(app, "/plain", client=("192.0.2.99", 1))).status == 200


async def test_nobody_gets_the_answer_to_anothers_credentials() -> None:
    """What was answered to a request with Authorization is kept for nobody, unless the response allows it; and a route
    that does not say whose its answers are is refused where it is declared."""
    app, counted = service()
    for who in (b"Bearer a", b"Bearer b"):
        reply = await ask(app, "/plain", headers=[(b"authorization", who)])
        assert b"hit" not in reply.cache_status
    assert counted["/plain"] == 2
    with pytest.raises(ValueError, match="whose answer"):
        cached(ttl=60)


def test_validators_are_quoted_and_the_same_in_every_process() -> None:
    """A client that goes from one process to another gets its 304 there too."""
    program = (
        "import asyncio; from tests.contract.test_defects_of_others import ask, service;"
        "print(asyncio.run(ask(service()[0], '/plain')).headers[b'etag'].decode())"
    )
    tags = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    (tag,) = tags
    assert tag.removeprefix("W/").startswith('"')
    assert tag.endswith('"')


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd"])
async def test_what_the_client_excludes_is_not_sent(coding: bytes) -> None:
    """``q=0`` is no."""
    app, _ = service()
    for path in ("/long", "/no-store"):
        reply = await ask(app, path, headers=[(b"accept-encoding", coding + b";q=0")])
        assert b"content-encoding" not in reply.headers


async def test_other_bytes_have_another_strong_tag() -> None:
    """The tag of the compressed bytes is weak or another one, fresh and from the cache."""
    app, _ = service()
    plain = await ask(app, "/long")
    for reply in await twice(app, "/long", headers=[(b"accept-encoding", b"gzip")]):
        assert reply.headers[b"content-encoding"] == b"gzip"
        assert reply.headers[b"etag"] != plain.headers[b"etag"] == b'"strong"'


async def test_age_counts_up() -> None:
    """In seconds since the response was made, and Cache-Control stays the application's."""
    clock = FakeClock()
    app, _ = service(clock)
    ages = []
    for _ in range(3):
        reply = await ask(app, "/own")
        ages.append(int(reply.headers.get(b"age", b"0")))
        assert reply.headers[b"cache-control"] == b"max-age=7, stale-if-error=9"
        await clock.advance(2)
    assert ages == [0, 2, 4]


@pytest.mark.parametrize("path", ["/no-store", "/private"])
async def test_what_must_not_be_stored_is_not(path: str) -> None:
    """Whatever the policy of the route says."""
    app, counted = service()
    await twice(app, path)
    assert counted[path] == 2


async def test_a_malformed_directive_is_no_failure() -> None:
    """Nor is it fresh."""
    app, _ = service()
    assert [reply.status for reply in await twice(app, "/malformed")] == [200, 200]


async def test_the_request_right_behind_is_a_hit() -> None:
    """Two requests sent at once over one connection: what the first stores, the second finds."""
    app, counted = service()
    request = b"GET /plain HTTP/1.1\r\nhost: x\r\n"
    async with served(app) as port:
        answer = await talk(port, request + b"\r\n" + request + b"connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"tailrace; hit") == counted["/plain"] == 1


async def test_a_condition_is_answered_from_the_store() -> None:
    """304 without the application."""
    app, counted = service()
    reply = await ask(app, "/plain")
    again = await ask(app, "/plain", headers=[(b"if-none-match", reply.headers[b"etag"])])
    assert (again.status, again.body, counted["/plain"]) == (304, b"", 1)


async def test_vary_is_obeyed() -> None:
    """Each language has its own answer."""
    app, _ = service()
    await ask(app, "/language")  # from now on the key has the language
    languages = (b"de", b"en", b"de", b"en")
    bodies = [(await ask(app, "/language", headers=[(b"accept-language", which)])).body for which in languages]
    assert bodies == [b'"x2"', b'"x3"', b'"x2"', b'"x3"']


class Shown(BaseModel):
    """What clients may see."""

    name: str


async def test_a_return_annotation_still_shapes_the_answer() -> None:
    """A cached endpoint answers by what it says it returns, on a miss and on a hit, and so it is documented."""
    app = FastAPI()
    Tailrace(app, Settings(database_url=None, valkey_url=None))

    @app.get("/shown")
    @cached(ttl=60, shared=True)
    async def shown() -> Shown:
        return {"name": "Ann", "password": "secret"}  # type: ignore[return-value]

    first, second = await twice(app, "/shown")
    assert first.body == second.body == b'{"name":"Ann"}'
    answer = app.openapi()["paths"]["/shown"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Shown"}
