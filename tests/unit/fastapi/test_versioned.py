"""Versions in an application with everything around it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached
from tailrace.fastapi import Alias, Deprecated, Version, VersionDependency, Versions, limited
from tailrace.settings import Settings

MEMORY = Settings(database_url=None, valkey_url=None)
GOING = Deprecated(datetime(2026, 6, 1, tzinfo=UTC), successor="v2")


def make(**options: Any) -> tuple[FastAPI, Tailrace, list[str]]:
    """Two versions side by side, an old path, and one route without a version."""
    app, calls = FastAPI(), []
    versions = Versions(
        [Version("v1", deprecated=GOING), Version("v2")],
        aliases=[Alias("/tools", "/api/v2/tools", Deprecated(GOING.since))],
        **options,
    )
    tailrace = Tailrace(app, MEMORY, versions=versions)
    for name in ("v1", "v2"):
        router = APIRouter(prefix=f"/api/{name}")

        @router.get("/tools/{tool}")
        @cached(ttl=60, shared=True)
        async def tool(tool: str, version: VersionDependency) -> dict[str, Any]:
            calls.append(version)
            return {"api_version": version, "tool": tool}

        app.include_router(router)

    @app.get("/tools-of-old")
    @cached(ttl=60, shared=True)
    async def old(version: VersionDependency) -> dict[str, Any]:
        return {"api_version": version}

    return app, tailrace, calls


def uses(tailrace: Tailrace) -> dict[Any, float]:
    family = tailrace.metrics["tailrace.versioning.deprecated.requests"]
    return {labels: series[0] for labels, series in family.series.items()}


@pytest.mark.parametrize("served", ["application", "tailrace"])
async def test_side_by_side(served: str) -> None:
    """Each version answers for itself, before the cache and from it, through the framework and on the shortest way;
    deprecated ones are marked and counted every time, with their routes."""
    app, tailrace, calls = make()
    asked: Any = app if served == "application" else tailrace
    for _ in range(3):
        for name in ("v1", "v2"):
            reply = await ask(asked, f"/api/{name}/tools/hammer")
            assert json.loads(reply.body) == {"api_version": name, "tool": "hammer"}
            assert (b"deprecation" in reply.headers) == (name == "v1")
    assert sorted(calls) == ["v1", "v2"]
    assert reply.cache_status.startswith(b"tailrace; hit")
    assert uses(tailrace) == {("v1", "/api/v1/tools/{tool}"): 3}


async def test_marks_do_not_leak_through_the_shortest_way() -> None:
    """The old path is marked on every hit, although the same stored answer goes to the new path unmarked."""
    _, tailrace, calls = make()
    for _ in range(2):
        for path, marked in (("/tools/saw", True), ("/api/v2/tools/saw", False)):
            reply = await ask(tailrace, path)
            assert json.loads(reply.body)["tool"] == "saw"
            assert (b"deprecation" in reply.headers) is marked
    assert calls == ["v2"]
    assert uses(tailrace) == {("/tools", "/api/v2/tools/{tool}"): 2}
    labels = {labels[1] for labels in tailrace.metrics["http.server.request.duration"].series}
    assert labels == {"/api/v2/tools/{tool}"}
    assert json.loads((await ask(tailrace, "/tools-of-old")).body) == {"api_version": None}


async def test_by_field_through_the_cache() -> None:
    """One URL, two versions: each from its own entry, and what the path names is not marked by what the field named."""
    _, tailrace, calls = make(field="API-Version", default="v2")
    for _ in range(3):
        for name in (b"v1", b"v2"):
            reply = await ask(tailrace, "/api/tools/hammer", headers=[(b"api-version", name)])
            assert json.loads(reply.body)["api_version"] == name.decode()
            assert (b"deprecation" in reply.headers) == (name == b"v1")
            assert b"API-Version" in reply.headers[b"vary"]
        direct = await ask(tailrace, "/api/v2/tools/hammer")
        assert b"API-Version" not in direct.headers[b"vary"]
        assert b"deprecation" in (await ask(tailrace, "/api/v1/tools/hammer")).headers
    assert sorted(calls) == ["v1", "v2"]


async def test_an_unknown_version_is_a_problem() -> None:
    """In the shape of every other failure, with an id."""
    app, _, _ = make()
    reply = await ask(app, "/api/v7/tools/hammer", headers=[(b"x-request-id", b"r-1")])
    body = json.loads(reply.body)
    assert (reply.status, body["code"], body["supported"], body["request_id"]) == (
        404,
        "unknown_version",
        ["v1", "v2"],
        "r-1",
    )
    assert reply.headers[b"content-type"] == b"application/problem+json"


def test_the_document_shows_it() -> None:
    """Deprecated operations are marked, old paths are shown beside the new ones, each with an id of its own."""
    app, _, _ = make()
    for _ in range(2):
        paths = app.openapi()["paths"]
        shown = {path: item["get"].get("deprecated", False) for path, item in paths.items()}
        assert shown == {
            "/api/v1/tools/{tool}": True,
            "/api/v2/tools/{tool}": False,
            "/tools/{tool}": True,
            "/tools-of-old": False,
        }
        ids = [item["get"]["operationId"] for item in paths.values()]
        assert len(set(ids)) == len(ids)


async def test_applications_mounted_side_by_side() -> None:
    """Versions may be whole applications, of Starlette too; the route's name in metrics is the new path's."""

    def serve(name: str) -> Starlette:
        return Starlette(routes=[Route("/tools", lambda request: PlainTextResponse(name))])

    app = Starlette(routes=[Mount("/api/v1", serve("one")), Mount("/api/v2", serve("two"))])
    versions = Versions([Version("v1", deprecated=GOING), Version("v2")], aliases=[Alias("/old", "/api/v1")])
    tailrace = Tailrace(app, MEMORY, versions=versions)
    for path, body in (("/api/v1/tools", b"one"), ("/api/v2/tools", b"two"), ("/old/tools", b"one")):
        reply = await ask(app, path)
        assert reply.body == body
        assert (b"deprecation" in reply.headers) == (body == b"one")
    assert set(uses(tailrace)) == {("v1", "/api/v1/tools")}


async def test_limits_hold_on_old_paths() -> None:
    """Whoever comes by the old path or by a field uses up the same units as by the new path, and is refused with the
    same marks."""
    app = FastAPI()
    versions = Versions(
        [Version("v1", deprecated=GOING), Version("v2")],
        aliases=[Alias("/tools", "/api/v1/tools", Deprecated(GOING.since))],
        field="API-Version",
    )
    Tailrace(app, MEMORY, versions=versions)

    @app.post("/api/v1/tools/saw")
    @limited("3/minute")
    async def saw() -> None:
        pass

    by_field = {"headers": [(b"api-version", b"v1")]}
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/tools/saw", {}),
        ("/api/v1/tools/saw", {}),
        ("/api/tools/saw", by_field),
    ]
    for path, more in asked:
        assert (await ask(app, path, method="POST", **more)).status == 200
    for path, more in asked:
        refused = await ask(app, path, method="POST", **more)
        assert refused.status == 429
        assert refused.headers[b"deprecation"]
