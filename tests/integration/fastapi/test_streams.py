"""Event streams through every layer, a real server, nginx with its defaults and Valkey, read by a client of others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse
from pydantic import SecretStr
from tests.integration.fastapi.nginx import nginx
from tests.integration.fastapi.serving import served, talk
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace import fastapi as tailrace_fastapi
from tailrace.embedded import free_port
from tailrace.fastapi import EventStreamResponse, StreamingDependency
from tailrace.settings import HttpSettings, Settings, SheddingSettings, ValkeySettings

NARROW = SheddingSettings(initial=1, minimum=1, maximum=1, max_waiting=0)
FLOOD = 256 * 1024 * 1024
"""Bytes that no buffers on the way hold."""
PIECE = 1024 * 1024
EVERYTHING = {"accept-encoding": "gzip, br, zstd, deflate"}


class Service:
    """An application whose streams say one word each time the test lets them."""

    def __init__(self, valkey_url: str | None = None) -> None:
        self.app = FastAPI()
        self.errors: list[BaseException] = []
        self.tailrace = Tailrace(
            self.app,
            Settings(
                database_url=None,
                valkey_url=None if valkey_url is None else SecretStr(valkey_url),
                shedding=NARROW,
                valkey=ValkeySettings(timeout=10.0, connect_timeout=10.0),
                http=HttpSettings(drain=0.0),
            ),
            on_error=lambda error, _: self.errors.append(error),
        )
        self.words: asyncio.Queue[str] = asyncio.Queue()
        self.working = 0
        self.runs = 0
        self.app.get("/words", response_class=EventStreamResponse)(self.answer)
        self.app.post("/words", response_class=EventStreamResponse)(self.answer)
        self.app.get("/plain")(self.plain)
        self.app.get("/failing")(self.failing)
        self.app.get("/silent")(self.silent)
        self.app.get("/flood")(self.flood)
        self.flooded = 0

    async def answer(self, request: Request, streaming: StreamingDependency) -> Response:
        return await streaming(self.say, scope=request.headers.get("x-user", ""), retry=0.5)

    async def plain(self) -> dict[str, str]:
        return {"said": "something" * 100}

    async def failing(self) -> Response:
        async def fail() -> AsyncIterator[tailrace_fastapi.ServerSentEvent]:
            yield tailrace_fastapi.ServerSentEvent("one")
            raise ZeroDivisionError

        return EventStreamResponse(fail())

    async def silent(self) -> Response:
        return EventStreamResponse(self.say(), keep_alive=0.02, headers={"Cache-Control": "no-cache"})

    async def flood(self) -> Response:
        async def pour() -> AsyncIterator[tailrace_fastapi.ServerSentEvent]:
            while self.flooded < FLOOD:
                yield tailrace_fastapi.ServerSentEvent("x" * PIECE)
                self.flooded += PIECE

        return EventStreamResponse(pour(), send_timeout=0.2)

    async def say(self) -> AsyncIterator[tailrace_fastapi.ServerSentEvent]:
        self.working += 1
        self.runs += 1
        try:
            for word in ("one", "two", "three"):
                yield tailrace_fastapi.ServerSentEvent.json({"word": word}, event="chunk")
                if await self.words.get() == "leave":
                    return
        finally:
            self.working -= 1

    def let(self, count: int) -> None:
        for _ in range(count):
            self.words.put_nowait("go")


@asynccontextmanager
async def listening(port: int, path: str = "/words", **headers: str) -> AsyncIterator[tuple[httpx.Response, Any]]:
    """A response that is being read, and its events."""
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60.0, headers=EVERYTHING) as client,
        aconnect_sse(client, "GET", path, headers=headers) as source,
    ):
        yield source.response, source.aiter_sse()


def word(event: ServerSentEvent) -> str:
    assert event.event == "chunk"
    return str(json.loads(event.data)["word"])


@pytest.fixture(params=["direct", "nginx"])
async def service(request: pytest.FixtureRequest, server_folder: Path) -> AsyncIterator[tuple[Service, int]]:
    made = Service()
    async with served(made.app) as port:
        if request.param == "direct":
            yield made, port
        else:
            with nginx(port, server_folder) as before:
                yield made, before


async def test_events_are_not_held_back(service: tuple[Service, int]) -> None:
    """Each arrives while the next has not been made, whatever codings the client would take; nobody keeps it."""
    made, port = service
    async with listening(port) as (response, events):
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert "content-encoding" not in response.headers
        assert response.headers["x-request-id"]
        event = await anext(events)
        assert (word(event), event.retry) == ("one", 500)
        for expected in ("two", "three"):
            assert made.working == 1
            made.let(1)
            assert word(await anext(events)) == expected
        made.let(1)
        assert [each async for each in events] == []
    await wait_until(lambda: list(made.tailrace.metrics["tailrace.stream.duration"].series) == [("complete",)])
    assert made.working == 0


async def test_a_proxy_that_compresses_them_holds_no_events_back(server_folder: Path) -> None:
    """An nginx that was told to compress event streams, and does, still passes each on before the next is made."""
    made = Service()
    async with served(made.app) as port:
        with nginx(port, server_folder, compressed="text/event-stream") as before:
            async with listening(before) as (response, events):
                assert response.headers["content-encoding"] == "gzip"
                for expected in ("one", "two", "three"):
                    assert word(await anext(events)) == expected
                    assert made.working == 1
                    made.let(1)
                assert [each async for each in events] == []


async def test_a_client_that_leaves_stops_the_work(service: tuple[Service, int]) -> None:
    """Closing the connection ends the source where it waits, and is counted."""
    made, port = service
    async with listening(port) as (_, events):
        assert word(await anext(events)) == "one"
        assert made.working == 1
    await wait_until(lambda: made.working == 0)
    ended = made.tailrace.metrics["tailrace.stream.duration"].series
    await wait_until(lambda: ("client_left",) in ended)
    assert made.tailrace.metrics["tailrace.stream.open"].series[()] == [0]
    assert made.tailrace.metrics["tailrace.stream.events"].series[()] == [1]


async def test_streams_keep_nobody_out_and_are_nobodys_but_their_own(service: tuple[Service, int]) -> None:
    """With room for one request at once, streams of one URL begin side by side, and others are answered meanwhile."""
    made, port = service
    async with listening(port) as (_, first), listening(port) as (_, second), httpx.AsyncClient() as client:
        one, other = await anext(first), await anext(second)
        assert one.id != other.id
        assert made.working == 2
        assert (await client.get(f"http://127.0.0.1:{port}/plain")).status_code == 200
        head = await client.head(f"http://127.0.0.1:{port}/plain")
        assert head.status_code in (200, 405)


async def test_goes_on_where_the_client_was(service: tuple[Service, int]) -> None:
    """A client that was cut off gets the rest by Last-Event-ID, once, and 204 when it has all; nobody else does."""
    made, port = service
    async with listening(port) as (_, events):
        first = await anext(events)
        made.let(1)
        second = await anext(events)
    await wait_until(lambda: made.working == 0)
    made.let(3)
    async with listening(port, **{"last-event-id": second.id}) as (_, events):
        rest = [each async for each in events]
    assert [word(each) for each in rest] == ["three"]
    assert made.runs == 2
    async with listening(port, **{"last-event-id": rest[-1].id}) as (response, _):
        assert response.status_code == 204
        assert not await response.aread()
    async with listening(port, **{"last-event-id": first.id, "x-user": "bob"}) as (_, events):
        assert word(await anext(events)) == "one"
    async with listening(port, "/words?of=another", **{"last-event-id": first.id}) as (_, events):
        assert word(await anext(events)) == "one"


async def test_silence_is_filled_with_comments(service: tuple[Service, int]) -> None:
    """They arrive while no event is there, and a field that the application gave is there once, as it gave it."""
    made, port = service
    async with (
        httpx.AsyncClient(timeout=60.0, headers=EVERYTHING) as client,
        client.stream("GET", f"http://127.0.0.1:{port}/silent") as response,
    ):
        assert response.headers.get_list("cache-control") == ["no-cache"]
        lines = response.aiter_lines()
        while await anext(lines) != ":":
            pass
        assert [await anext(lines) for _ in range(2)] == [":", ":"]
        assert made.working == 1


async def test_who_does_not_read_makes_nothing_pile_up(service: tuple[Service, int]) -> None:
    """The work waits for the client, and ends when that takes nothing any more."""
    made, port = service
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /flood HTTP/1.1\r\nHost: slow\r\n\r\n")
    await wait_until(lambda: ("too_slow",) in made.tailrace.metrics["tailrace.stream.duration"].series, timeout=60.0)
    assert made.flooded < FLOOD / 4
    writer.close()
    assert await reader.read(12) == b"HTTP/1.1 200"


async def test_a_client_of_the_past_is_served() -> None:
    """HTTP/1.0 gets all events; what ends its connection is the stream's end."""
    made = Service()
    async with served(made.app) as port:
        made.let(3)
        head, _, body = (await talk(port, b"GET /words HTTP/1.0\r\n\r\n")).partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    assert body.count(b"\nevent: chunk\ndata: ") == 3
    assert made.working == 0


async def test_another_process_goes_on(valkey_url: str) -> None:
    """What one process has sent, another replays, from the shared store."""
    one, two = Service(valkey_url), Service(valkey_url)
    async with served(one.app) as first, served(two.app) as second:
        one.let(3)
        async with listening(first) as (_, events):
            sent = [each async for each in events]
        assert [word(each) for each in sent] == ["one", "two", "three"]
        async with listening(second, **{"last-event-id": sent[0].id}) as (_, events):
            assert [each.id async for each in events] == [each.id for each in sent[1:]]
        assert two.runs == 0
        async with listening(second, **{"last-event-id": sent[-1].id}) as (response, _):
            assert response.status_code == 204


@asynccontextmanager
async def process(valkey_url: str, **environment: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A server in a process of its own, which serves; and its port."""
    port = free_port()
    command = (sys.executable, "-m", "uvicorn", "tests.integration.fastapi._streaming_service:app", "--port", str(port))
    variables = {**os.environ, "TAILRACE_VALKEY_URL": valkey_url, **environment}
    server = await asyncio.create_subprocess_exec(*command, "--timeout-graceful-shutdown", "0", env=variables)

    async def answers() -> bool:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
        except httpx.ConnectError:
            return False

    try:
        async with httpx.AsyncClient(timeout=60.0) as client:
            await wait_until(answers, timeout=120.0)
        yield server, port
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()


async def test_a_server_that_stops_ends_its_streams_and_another_goes_on(valkey_url: str) -> None:
    """SIGTERM does not wait for a stream without end beyond the server's limit; the client goes on elsewhere."""
    async with process(valkey_url, HOLDS="1") as (server, first), process(valkey_url) as (_, second):
        async with listening(first, "/numbers") as (_, events):
            one = await anext(events)
            server.terminate()
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(events)
        assert await server.wait() == -signal.SIGTERM
        async with listening(second, "/numbers", **{"last-event-id": one.id}) as (_, events):
            assert [each.data async for each in events] == ["two"]


async def test_a_post_streams_too() -> None:
    """Clients other than EventSource may ask by POST; its body is read before the stream begins."""
    made = Service()
    async with served(made.app) as port, httpx.AsyncClient(timeout=60.0) as client:
        made.let(3)
        async with aconnect_sse(client, "POST", f"http://127.0.0.1:{port}/words", json={"q": 1}) as source:
            assert [word(each) async for each in source.aiter_sse()] == ["one", "two", "three"]


async def test_head_gets_the_fields_alone() -> None:
    """HEAD where the route answers it ends at once, and no work is begun."""
    made = Service()
    made.app.head("/words")(made.answer)
    async with served(made.app) as port, httpx.AsyncClient() as client:
        response = await client.head(f"http://127.0.0.1:{port}/words")
        assert response.headers["content-type"] == "text/event-stream"
    assert made.runs == 0


async def test_a_source_that_fails_is_reported(service: tuple[Service, int]) -> None:
    """The client hears a code and a proper end, the error tracker the exception; the connection serves on."""
    made, port = service
    async with httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{port}/failing")
        [_, error] = [each async for each in EventSource(response).aiter_sse()]
        assert error.event == "error"
        problem = json.loads(error.data)
        assert (problem["code"], problem["request_id"]) == ("internal_error", response.headers["x-request-id"])
        assert (await client.get(f"http://127.0.0.1:{port}/plain")).status_code == 200
    await wait_until(lambda: len(made.errors) > 0)
    assert [type(each) for each in made.errors] == [ZeroDivisionError]
