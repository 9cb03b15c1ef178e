"""All services in one application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request

from tailrace_services.app import Mounted, ServicesApp
from tailrace_services.lifespan import Lifespan


def service(name: str, log: list[str], *, ready: int = 200, fails: bool = False) -> FastAPI:
    """A service that says what it sees."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        if fails:
            raise RuntimeError("no database")
        log.append(f"start {name}")
        yield {"made": name}
        log.append(f"stop {name}")

    app = FastAPI(lifespan=lifespan)

    @app.get("/where")
    async def where(request: Request) -> dict[str, str]:
        return {"service": name, "root": request.scope["root_path"], "made": request.state.made}

    @app.get("/readyz", status_code=ready)
    async def readyz() -> None:
        return None

    return app


async def get(app: Any, path: str, method: str = "GET") -> tuple[int, bytes]:
    """One request without a server."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "root_path": "", "headers": []}
    scope |= {"query_string": b"", "scheme": "http", "http_version": "1.1", "server": ("test", 80), "asgi": {}}
    await app(scope, receive, send)
    return messages[0]["status"], b"".join(message.get("body", b"") for message in messages[1:])


async def test_the_longest_prefix_answers_with_its_own_state() -> None:
    """A service below another's name is not the other."""
    log: list[str] = []
    inner, outer = Mounted("/a/baseline", "A before", service("inner", log)), Mounted("/a", "A", service("outer", log))
    app = ServicesApp([outer, inner])
    lifespan = Lifespan(app)
    await lifespan.start()
    try:
        assert json.loads((await get(app, "/a/where"))[1]) == {"service": "outer", "root": "/a", "made": "outer"}
        assert json.loads((await get(app, "/a/baseline/where"))[1]) == {
            "service": "inner",
            "root": "/a/baseline",
            "made": "inner",
        }
        assert (await get(app, "/ab/where"))[0] == 404
        assert (await get(app, "/a/docs"))[0] == 200
    finally:
        assert await lifespan.stop() is None


async def test_what_started_is_stopped_in_the_opposite_order() -> None:
    """The last to start is the first to stop."""
    log: list[str] = []
    lifespan = Lifespan(
        ServicesApp([Mounted("/long", "", service("one", log)), Mounted("/two", "", service("two", log))])
    )
    await lifespan.start()
    await lifespan.stop()
    assert log == ["start one", "start two", "stop two", "stop one"]


async def test_a_service_that_does_not_start_stops_the_others() -> None:
    """Half a house does not serve; the message names who failed."""
    log: list[str] = []
    broken = Mounted("/b", "", service("broken", log, fails=True))
    lifespan = Lifespan(ServicesApp([Mounted("/long", "", service("one", log)), broken]))
    with pytest.raises(RuntimeError, match=r"(?s)/b: .*no database"):
        await lifespan.start()
    assert log == ["start one", "stop one"]


async def test_readiness_is_that_of_every_service_that_counts() -> None:
    """A slow original does not take the fast one out of service; the fast one itself does."""
    log: list[str] = []
    before = Mounted("/a/baseline", "", service("before", log, ready=503), gates_readiness=False)
    assert (await get(ServicesApp([Mounted("/a", "", service("a", log)), before]), "/readyz"))[0] == 200
    status, body = await get(ServicesApp([Mounted("/a", "", service("a", log, ready=503)), before]), "/readyz")
    assert (status, json.loads(body)["services"]) == (503, {"/a": "not ready"})


async def test_its_own_pages() -> None:
    """A list with links, liveness, and 404 for the rest; HEAD has no body."""
    app = ServicesApp([Mounted("/a", "The <A>", service("a", []))])
    status, page = await get(app, "/")
    assert status == 200
    assert b'href="/a/docs"' in page
    assert b"The &lt;A&gt;" in page
    assert (await get(app, "/livez"))[0] == 200
    assert (await get(app, "/nowhere"))[0] == 404
    assert (await get(app, "/", "POST"))[0] == 404
    assert (await get(app, "/livez", "HEAD")) == (200, b"")


async def test_an_application_without_a_lifespan_starts_at_once() -> None:
    """The protocol lets it raise at the first message."""

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"

    lifespan = Lifespan(plain)
    await lifespan.start()
    assert await lifespan.stop() is None
