from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from tests.integration.fastapi.test_served import served

from tailrace import Tailrace, cached, uncompressed
from tailrace.settings import CompressionSettings, Settings

ITEMS = [{"id": number, "name": f"item {number}", "price": number * 1.5} for number in range(5000)]
ACCEPTS = ("zstd", "br", "gzip", "gzip;q=0, br;q=0.5", "identity", "*", "gzip, deflate, br, zstd")


def settings(**compression: Any) -> Settings:
    return Settings(database_url=None, valkey_url=None, compression=CompressionSettings(**compression))


def service(**compression: Any) -> FastAPI:
    app = FastAPI()
    Tailrace(app, settings(**compression))
    router = APIRouter(prefix="/included")

    @app.get("/plain")
    async def plain(count: int = 80) -> list[dict[str, Any]]:
        return ITEMS[:count]

    @app.get("/kept")
    @cached(ttl=60, shared=True)
    async def kept(count: int = 80) -> list[dict[str, Any]]:
        return ITEMS[:count]

    @app.get("/secret")
    @uncompressed
    async def secret() -> list[dict[str, Any]]:
        return ITEMS[:80]

    @router.get("/secret")
    @cached(ttl=60, shared=True)
    @uncompressed
    async def kept_secret() -> list[dict[str, Any]]:
        return ITEMS[:80]

    @app.get("/events")
    async def told() -> StreamingResponse:
        return StreamingResponse(parts(), media_type="text/event-stream")

    @app.get("/rows")
    async def rows() -> StreamingResponse:
        return StreamingResponse(parts(), media_type="text/csv")

    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number
            await go_on.wait()

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type="text/plain")

    go_on = app.state.go_on = asyncio.Event()
    app.include_router(router)
    return app


@pytest.mark.parametrize("count", [0, 5, 80, 5000])
async def test_every_client_reads_what_it_would_have_read(count: int) -> None:
    """Over a real connection, kept or not, small or large, in any coding: status, content and type are those of an
    application without compression."""
    async with served(service(enabled=False)) as plain_port, served(service()) as port, httpx2.AsyncClient() as client:
        for path, accept in product(("/plain", "/kept", "/kept"), ACCEPTS):
            url = f"http://127.0.0.1:%d{path}?count={count}"
            expected = await client.get(url % plain_port, headers={"accept-encoding": accept})
            found = await client.get(url % port, headers={"accept-encoding": accept})
            assert (found.status_code, found.content) == (expected.status_code, expected.content)
            assert found.headers["content-type"] == expected.headers["content-type"]
            assert "content-encoding" not in expected.headers
            coded = "content-encoding" in found.headers
            assert coded is (count >= 80 and accept != "identity")
            assert int(found.headers["content-length"]) == found.num_bytes_downloaded
            if coded:
                assert found.num_bytes_downloaded < len(expected.content) * 0.4


async def test_endpoints_that_opt_out() -> None:
    """An endpoint marked so is never compressed: included in a router, kept or not, on a miss and on a hit."""
    async with served(service()) as port, httpx2.AsyncClient() as client:
        for path in ("/secret", "/included/secret", "/included/secret"):
            found = await client.get(f"http://127.0.0.1:{port}{path}", headers={"accept-encoding": "zstd"})
            assert "content-encoding" not in found.headers
            assert "vary" not in found.headers
            assert found.json() == ITEMS[:80]


@pytest.mark.parametrize(("path", "encoding"), [("/events", None), ("/rows", "zstd")])
async def test_streams_arrive_as_they_are_made(path: str, encoding: str | None) -> None:
    """The first part is with the client while the application waits to make the second."""
    app = service()
    async with served(app) as port, httpx2.AsyncClient() as client:
        url, asked = f"http://127.0.0.1:{port}{path}", {"accept-encoding": "zstd"}
        async with client.stream("GET", url, headers=asked) as response:
            assert response.headers.get("content-encoding") == encoding
            arriving = response.aiter_bytes()
            assert await anext(arriving) == b"data: 0\n\n"
            app.state.go_on.set()
            assert b"".join([part async for part in arriving]) == b"data: 1\n\ndata: 2\n\n"


async def test_a_kept_response_answers_conditions_in_each_coding() -> None:
    """Each coding has a tag, which gives 304 to the client that has it."""
    async with served(service()) as port, httpx2.AsyncClient() as client:
        url, tags = f"http://127.0.0.1:{port}/kept", set()
        for accept in ("zstd", "br", "gzip", "identity"):
            first = await client.get(url, headers={"accept-encoding": accept})
            asked = {"accept-encoding": accept, "if-none-match": first.headers["etag"]}
            unchanged = await client.get(url, headers=asked)
            assert (unchanged.status_code, unchanged.headers["etag"]) == (304, first.headers["etag"])
            tags.add(first.headers["etag"])
        assert len(tags) == 4


async def test_requests_are_decoded_when_that_is_switched_on() -> None:
    """A compressed request is read as it was meant; a bomb is answered 413 in the service's shape, not 400."""
    import zlib

    app = service(coded_requests="decode", max_request_bytes=100_000)
    async with served(app) as port, httpx2.AsyncClient() as client:
        url, coded = f"http://127.0.0.1:{port}/echo", {"content-encoding": "gzip"}
        body = b"hello " * 1000
        echoed = await client.post(url, content=zlib.compress(body, 6, 31), headers=coded)
        assert (echoed.status_code, echoed.content) == (200, body)
        bomb = await client.post(url, content=zlib.compress(bytes(10_000_000), 9, 31), headers=coded)
        assert (bomb.status_code, bomb.json()["code"]) == (413, "content_too_large")
        other = await client.post(url, content=body, headers={"content-encoding": "lzma"})
        assert (other.status_code, other.headers["accept-encoding"]) == (415, "zstd, br, gzip")
    async with served(service(coded_requests="pass")) as port, httpx2.AsyncClient() as client:
        raw = zlib.compress(body, 6, 31)
        assert (await client.post(f"http://127.0.0.1:{port}/echo", content=raw, headers=coded)).content == raw


async def test_coded_requests_are_refused_unless_asked_for() -> None:
    """No endpoint takes coded bytes for what they stand for: 415 before it reads them, and what would be taken."""
    async with served(service()) as port, httpx2.AsyncClient() as client:
        url = f"http://127.0.0.1:{port}/echo"
        for coding in ("gzip", "br", "zstd", "deflate", "lzma", "gzip, gzip"):
            refused = await client.post(url, content=b"hello", headers={"content-encoding": coding})
            assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "identity")
            assert refused.json()["code"] == "content_encoding_unsupported"
        plain = await client.post(url, content=b"hello", headers={"content-encoding": "identity"})
        assert (plain.status_code, plain.content) == (200, b"hello")
        nothing = await client.post(url, content=b"", headers={"content-encoding": "gzip"})
        assert (nothing.status_code, nothing.content) == (200, b"")
