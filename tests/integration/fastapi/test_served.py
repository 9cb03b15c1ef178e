from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import SecretStr
from tests.integration.fastapi.serving import served, talk

from tailrace import Tailrace, cached
from tailrace.settings import Settings

MEMORY = Settings(database_url=None, valkey_url=None)


def service(events: list[Any] | None = None) -> FastAPI:
    app = FastAPI()
    Tailrace(app, MEMORY, observer=None if events is None else events.append)

    @app.get("/cached")
    @cached(ttl=60, shared=True)
    async def kept() -> dict[str, str]:
        return {"a": "b"}

    @app.get("/boom")
    async def boom() -> None:
        raise ZeroDivisionError

    @app.get("/stream")
    @cached(ttl=60, shared=True)
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(parts())

    return app


async def test_pipelined_head_get_and_condition() -> None:
    """Requests sent at once over one connection are answered in order, each with its own length and id."""
    async with served(service()) as port:
        answer = await talk(
            port,
            b"GET /cached HTTP/1.1\r\nhost: x\r\n\r\nHEAD /cached HTTP/1.1\r\nhost: x\r\n\r\n"
            b"GET /cached HTTP/1.1\r\nhost: x\r\nif-none-match: *\r\nconnection: close\r\n\r\n",
        )
    first, second, third = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200") and first.endswith(b'{"a":"b"}')  # noqa: PT018
    assert second.startswith(b"200") and second.endswith(b"\r\n\r\n")  # noqa: PT018
    assert b"content-length: 9" in second
    assert third.startswith(b"304") and b"content-length" not in third  # noqa: PT018
    ids = [part.partition(b"x-request-id: ")[2].partition(b"\r\n")[0] for part in (first, second, third)]
    assert len(set(ids)) == 3


async def test_failure_keeps_the_connection() -> None:
    """A handler that raises answers its problem, and the connection serves the next request."""
    async with served(service()) as port:
        answer = await talk(
            port,
            b"GET /boom HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        )
    failed, alive = answer.split(b"HTTP/1.1 ")[1:]
    assert failed.startswith(b"500")
    assert json.loads(failed.partition(b"\r\n\r\n")[2])["code"] == "internal_error"
    assert alive.startswith(b"200")


async def test_client_that_leaves_a_stream_is_499() -> None:
    """A stream on a cached route arrives at once; when its client leaves, the request ends and counts as 499."""
    events: list[Any] = []
    async with served(service(events)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"first" in await reader.readuntil(b"first")
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(10):
            while not [event for event in events if getattr(event, "status", None) == 499]:
                await asyncio.sleep(0)


async def test_ready_without_the_cache_but_not_without_the_database(database_url: str) -> None:
    """A store that is down is shown and does no harm; without its database the process is not ready."""
    settings = Settings(database_url=SecretStr(database_url), valkey_url=SecretStr("redis://127.0.0.1:1/0"))
    app = FastAPI()
    Tailrace(app, settings)
    gone = FastAPI()
    Tailrace(gone, Settings(database_url=SecretStr("postgresql://x:x@127.0.0.1:1/x"), valkey_url=None))
    request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    async with served(app) as port:
        answer = await talk(port, request)
        assert answer.startswith(b"HTTP/1.1 200")
        checks = json.loads(answer.partition(b"\r\n\r\n")[2])["checks"]
        assert (checks["database"], checks["store"]) == ("up", "down")
    async with served(gone) as port:
        assert (await talk(port, request)).startswith(b"HTTP/1.1 503")
