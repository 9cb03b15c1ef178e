"""The servers that ``bench.streams`` asks: one address that streams what is told to all, as each package has it.

``/stream?name=`` says ``open`` and then the moment of each ``/tell``; ``/ended`` tells when the work for which clients
ended, in seconds of the machine's monotonic clock. Touches: the environment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import text

from bench.asking import ASGIApp
from tailrace import Tailrace
from tailrace import fastapi as ours
from tailrace.fastapi import EventStreamResponse, StreamingDependency
from tailrace.settings import RateLimitSettings, load_settings

__all__ = [
    "bare",
    "by_fastapi",
    "by_sse_starlette",
    "by_tailrace",
    "by_tailraces_response",
    "searching",
]

SLEEP = "SELECT pg_sleep(600)"
"""What a client that leaves must not leave behind."""
FIELDS = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


class Stage:
    """What streams wait for, and when each ended."""

    def __init__(self) -> None:
        self._moment = 0.0
        self._told = asyncio.Event()
        self.ended: dict[str, float] = {}

    def tell(self) -> None:
        """All streams say when this was."""
        told, self._told = self._told, asyncio.Event()
        self._moment = time.monotonic()
        told.set()

    async def moments(self, name: str) -> AsyncIterator[str]:
        """What one stream says."""
        try:
            yield "open"
            while True:
                await self._told.wait()
                yield repr(self._moment)
        finally:
            self.ended[name] = time.monotonic()


def _application() -> tuple[FastAPI, Stage]:
    """All but the stream."""
    app, stage = FastAPI(), Stage()

    @app.get("/tell")
    async def tell() -> Response:
        stage.tell()
        return Response(status_code=204)

    @app.get("/ended")
    async def ended() -> dict[str, float]:
        return stage.ended

    return app, stage


def bare() -> ASGIApp:
    """As little as there can be: a task that sends, and one that waits for the client to leave."""
    others, stage = _application()

    async def work(name: str, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(FIELDS)})
        async for moment in stage.moments(name):
            body = b"data: %b\n\n" % moment.encode()
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/stream":
            await others(scope, receive, send)
            return
        [name] = parse_qs(scope["query_string"].decode())["name"]
        working = asyncio.create_task(work(name, send))
        while (await receive())["type"] != "http.disconnect":
            pass
        working.cancel()
        await asyncio.wait([working])

    return app


def by_fastapi() -> FastAPI:
    """FastAPI's own."""
    app, stage = _application()

    @app.get("/stream", response_class=EventSourceResponse)
    async def stream(name: str) -> AsyncIterator[ServerSentEvent]:
        async for moment in stage.moments(name):
            yield ServerSentEvent(raw_data=moment)

    return app


def by_sse_starlette() -> FastAPI:
    """sse-starlette on FastAPI."""
    from sse_starlette import EventSourceResponse as Theirs

    app, stage = _application()

    @app.get("/stream")
    async def stream(name: str) -> Response:
        response: Response = Theirs({"data": moment} async for moment in stage.moments(name))
        return response

    return app


async def _events(stage: Stage, name: str) -> AsyncIterator[ours.ServerSentEvent]:
    async for moment in stage.moments(name):
        yield ours.ServerSentEvent(moment)


def by_tailraces_response() -> FastAPI:
    """Our response alone."""
    app, stage = _application()

    @app.get("/stream", response_class=EventStreamResponse)
    async def stream(name: str) -> Response:
        return EventStreamResponse(_events(stage, name))

    return app


def _on_tailrace(app: FastAPI) -> Tailrace:
    return Tailrace(app, load_settings().model_copy(update={"rate_limit": RateLimitSettings(enabled=False)}))


def by_tailrace() -> FastAPI:
    """All layers, and streams that can be taken up again."""
    app, stage = _application()
    _on_tailrace(app)

    @app.get("/stream", response_class=EventStreamResponse)
    async def stream(name: str, streaming: StreamingDependency) -> Response:
        return await streaming(lambda: _events(stage, name), scope=name)

    return app


def searching() -> FastAPI:
    """The same, and each stream waits for the database."""
    app, _ = _application()
    tailrace = _on_tailrace(app)

    async def search() -> AsyncIterator[ours.ServerSentEvent]:
        yield ours.ServerSentEvent("open")
        assert tailrace.database is not None
        await tailrace.database.fetch(text(SLEEP))

    @app.get("/stream", response_class=EventStreamResponse)
    async def stream(name: str, streaming: StreamingDependency) -> Response:
        return await streaming(search, scope=name)

    return app
