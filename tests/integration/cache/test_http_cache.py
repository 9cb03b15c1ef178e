"""The shared HTTP cache in an application, on a real store, with the other layers around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response
from pydantic import SecretStr
from tests.unit.asgi.driver import ask, decoded
from tests.waiting import wait_until

from tailrace import Tailrace, cached
from tailrace.embedded import ValkeyServer
from tailrace.settings import HttpSettings, Settings

BODY = "a body that is worth compressing " * 100


@asynccontextmanager
async def service(url: str | None, counted: dict[str, int]) -> AsyncIterator[FastAPI]:
    """One process's application; ``counted`` has how often each path was computed."""
    app = FastAPI()
    store = None if url is None else SecretStr(url)
    settings = Settings(database_url=None, valkey_url=store, http=HttpSettings(cache_by_headers=True))
    tailrace = Tailrace(app, settings)

    def count(path: str) -> int:
        counted[path] = counted.get(path, 0) + 1
        return counted[path]

    @app.get("/said")
    async def said() -> Response:
        headers = {"cache-control": "max-age=60", "etag": f'"{count("/said")}"'}
        return Response(BODY, media_type="text/plain", headers=headers)

    @app.post("/said")
    async def change() -> None:
        count("written")

    @app.get("/policy")
    @cached(ttl=60, shared=True, depends_on=["things"])
    async def policy(response: Response) -> int:
        response.headers["cache-control"] = "max-age=60"
        return count("/policy")

    @app.get("/silent")
    async def silent() -> int:
        return count("/silent")

    async with tailrace.running():
        yield app


@pytest.fixture
def own_valkey(server_folder: Path) -> Iterator[ValkeyServer]:
    """A server that a test may kill."""
    with ValkeyServer(server_folder / "http-cache-valkey") as server:
        server.flush()
        yield server


@pytest.fixture(params=["memory", "valkey"])
def store_url(request: Any, valkey: ValkeyServer) -> str | None:
    if request.param == "memory":
        return None
    valkey.flush()
    return str(valkey.url)


async def test_codings_are_kept_as_they_are_sent(store_url: str | None) -> None:
    """A response is computed once for each coding, and each client reads the same; its tag is answered with 304."""
    counted: dict[str, int] = {}
    async with service(store_url, counted) as app:
        for coding in ("gzip", "br", "zstd", ""):
            headers = [(b"accept-encoding", coding.encode())] if coding else []
            replies = [await ask(app, "/said", headers=headers) for _ in range(2)]
            for reply in replies:
                assert decoded(reply.body, reply.headers.get(b"content-encoding", b"").decode()) == BODY.encode()
            assert b"hit" in replies[1].cache_status
            known = [*headers, (b"if-none-match", replies[1].headers[b"etag"])]
            assert (await ask(app, "/said", headers=known)).status == 304
        assert counted == {"/said": 4}


async def test_policies_are_left_to_the_server(store_url: str | None) -> None:
    """What depends on a table is not kept by its own ``max-age`` beyond a change of that table."""
    counted: dict[str, int] = {}
    async with service(store_url, counted) as app:
        assert [(await ask(app, "/policy")).body for _ in range(2)] == [b"1", b"1"]
        await app.state.tailrace.cache.invalidate(["things"])
        assert (await ask(app, "/policy")).body == b"2"


async def test_what_says_nothing_is_not_kept(store_url: str | None) -> None:
    """Nor marked as if it could be."""
    counted: dict[str, int] = {}
    async with service(store_url, counted) as app:
        assert [(await ask(app, "/silent")).body for _ in range(2)] == [b"1", b"2"]


async def test_two_processes(valkey: ValkeyServer) -> None:
    """What one stored, the other serves; what one ends, neither serves again, whatever each holds a copy of."""
    valkey.flush()
    counted: dict[str, int] = {}
    async with service(valkey.url, counted) as one, service(valkey.url, counted) as two:
        for _ in range(20):
            before = counted.get("/said", 0)
            first = await ask(one, "/said")
            assert first.headers[b"etag"] == (await ask(two, "/said")).headers[b"etag"]
            assert counted["/said"] == before + 1
            await ask(two, "/said", method="POST")
            await asyncio.gather(one.state.tailrace.store.fence(), two.state.tailrace.store.fence())


async def test_after_a_restart_nothing_old_is_found(own_valkey: ValkeyServer) -> None:
    """A store that comes back empty, or without its last writes, has another life."""
    counted: dict[str, int] = {}
    async with service(own_valkey.url, counted) as app:
        await ask(app, "/said")
        await asyncio.to_thread(own_valkey.kill)
        assert (await ask(app, "/said")).status == 200
        await asyncio.to_thread(own_valkey.start)

        async def hits() -> bool:
            return b"hit" in (await ask(app, "/said")).cache_status

        await wait_until(hits)
    assert counted["/said"] >= 2
