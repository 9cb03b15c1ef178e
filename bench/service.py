"""The service that everything is compared around: 100 items, 4 KB as JSON, and how often they were computed.

``/api/v1/plain`` is not cached, ``/api/v1/kept`` is where a cache is given, ``/api/v1/calls`` tells how often either
was computed. With more routes than two, those two are the last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from bench.asking import ASGIApp

__all__ = ["BODY", "CALLS", "ITEMS", "KEPT", "PLAIN", "Item", "bytes_ready", "counted", "service"]

PREFIX = "/api/v1"
PLAIN, KEPT, CALLS = f"{PREFIX}/plain", f"{PREFIX}/kept", f"{PREFIX}/calls"


class Item(BaseModel):
    """One of the list."""

    id: int
    name: str
    price: float


ITEMS = [{"id": number, "name": f"item {number}", "price": number * 1.5} for number in range(100)]
BODY = json.dumps(ITEMS, separators=(",", ":")).encode()

Decorator = Callable[[Any], Any]


def unchanged(endpoint: Any) -> Any:
    """No decorator."""
    return endpoint


def service(
    *,
    routes: int = 2,
    bare: bool = False,
    seconds: float = 0.0,
    limited: Decorator = unchanged,
    kept: Decorator = unchanged,
    dependencies: Sequence[Callable[..., Any]] = (),
) -> FastAPI:
    """A FastAPI application.

    Args:
        routes: of ordinary ones, the two included.
        bare: the answer is bytes, made ready before, so that what stands around it is seen more sharply; otherwise it
            is validated and encoded, as services do.
        seconds: that computing an answer takes beside the CPU's time.
        limited: around both endpoints.
        kept: around the second, inside of ``limited``.
        dependencies: of both.
    """
    app = FastAPI()
    computed = 0

    def endpoint() -> Any:
        """A function of its own for each route: decorators leave their marks on it."""

        async def items(request: Request) -> list[Item]:
            nonlocal computed
            computed += 1
            if seconds:
                await asyncio.sleep(seconds)
            return ITEMS  # type: ignore[return-value]  # FastAPI makes them what is declared

        async def ready(request: Request) -> Response:
            nonlocal computed
            computed += 1
            return Response(BODY, media_type="application/json")

        return ready if bare else items

    for number in range(routes - 2):
        app.get(f"{PREFIX}/other/{number}/{{name}}")(endpoint())
    needed = [Depends(dependency) for dependency in dependencies]
    plain, may_be_kept = endpoint(), endpoint()
    may_be_kept.__name__ += "_kept"  # slowapi tells endpoints apart by their names
    app.get(PLAIN, dependencies=needed)(limited(plain))
    app.get(KEPT, dependencies=needed)(limited(kept(may_be_kept)))

    @app.get(CALLS)
    async def calls() -> int:
        return computed

    return app


def bytes_ready(body: bytes = BODY, fields: Sequence[tuple[bytes, bytes]] = ()) -> ASGIApp:
    """A bare ASGI application that has ``body`` ready, with no more header fields than it needs but ``fields``."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *fields]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})

    return app


def counted(app: ASGIApp) -> ASGIApp:
    """``app``, and at ``CALLS`` how often it was asked."""
    asked = 0

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        if scope["type"] == "http" and scope["path"] == CALLS:
            await bytes_ready(b"%d" % asked, fields=((b"cache-control", b"no-store"),))(scope, receive, send)
            return
        asked += scope["type"] == "http"
        await app(scope, receive, send)

    return counting
