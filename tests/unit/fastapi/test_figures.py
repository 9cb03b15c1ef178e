"""What ``/monitoring`` shows, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import SecretStr
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached
from tailrace.settings import HttpSettings, Settings

OPERATOR = {"headers": [(b"authorization", b"Bearer operator")]}


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()
    http = HttpSettings(admin_token=SecretStr("operator"))
    Tailrace(made, Settings(database_url=None, valkey_url=None, http=http))

    @made.get("/calls/{call_id}")
    async def call(call_id: int) -> dict[str, int]:
        if call_id > 100:
            raise HTTPException(404)
        return {"id": call_id}

    @made.get("/kept")
    @cached(ttl=60, shared=True)
    async def kept() -> dict[str, int]:
        return {"a": 1}

    return made


async def shown(app: FastAPI, path: str, **changes: Any) -> Any:
    reply = await ask(app, path, **{**OPERATOR, **changes})
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


async def test_requests_by_route(app: FastAPI) -> None:
    """Counts, errors and quantiles by route template, hits of the cache included, and all together."""
    for number in (1, 2, 3, 999):
        await ask(app, f"/calls/{number}")
    for _ in range(5):
        await ask(app, "/kept")
    document = await shown(app, "/monitoring/metrics")
    routes = {entry["route"]: entry for entry in document["endpoints"]}
    assert routes["/calls/{call_id}"]["statuses"] == {"200": 3, "404": 1}
    assert routes["/calls/{call_id}"]["client_error_share"] == 0.25
    assert routes["/kept"]["requests"] == 5
    assert 0 < routes["/kept"]["p50_ms"] <= routes["/kept"]["p99_ms"]
    assert document["requests"]["requests"] == 9
    assert document["response_cache"]["/kept"] == {"hit": 4, "miss": 1}
    assert document["window_seconds"] == 300


async def test_one_route_by_template_or_path(app: FastAPI) -> None:
    """A route is found by its template as by any path that it matches; one that nobody asked for is not there."""
    await ask(app, "/calls/7")
    for name in ("calls/{call_id}", "calls/8"):
        assert (await shown(app, f"/monitoring/metrics/endpoint/{name}"))["route"] == "/calls/{call_id}"
    missing = await ask(app, "/monitoring/metrics/endpoint/kept", **OPERATOR)
    assert missing.status == 404
    problem = json.loads(missing.body)
    assert problem["routes"] == ["/calls/{call_id}", "/monitoring/metrics/endpoint/*"]
    assert (problem["code"], problem["status"]) == ("route_not_seen", 404), "in the shape of every other failure"
    assert problem["request_id"] == missing.headers[b"x-request-id"].decode()


@pytest.mark.parametrize("window", ["x", "0", "301", "nan", "-5", "inf"])
async def test_a_window_that_makes_no_sense(app: FastAPI, window: str) -> None:
    """Anything but a number of seconds within the window is the client's mistake."""
    reply = await ask(app, "/monitoring/metrics", query_string=f"window={window}".encode(), **OPERATOR)
    assert reply.status == 422
    assert json.loads(reply.body)["code"] == "window_invalid"


async def test_a_shorter_window(app: FastAPI) -> None:
    """The last minute can be asked for alone."""
    await ask(app, "/calls/7")
    document = await shown(app, "/monitoring/metrics", query_string=b"window=60")
    assert document["window_seconds"] == 60
    assert document["endpoints"][0]["requests"] == 1


async def test_only_for_operators(app: FastAPI) -> None:
    """To everybody else figures do not exist; health does."""
    for path in ("metrics", "metrics/database", "metrics/rate-limits", "metrics/endpoint/kept"):
        assert (await ask(app, f"/monitoring/{path}")).status == 404
    assert (await ask(app, "/monitoring/health")).status in (200, 503)
    assert (await shown(app, "/monitoring/metrics/rate-limits")) == {"limits": {}}
    none = await ask(app, "/monitoring/metrics/database", **OPERATOR)
    assert (none.status, json.loads(none.body)["code"]) == (404, "no_database")


async def test_the_application_may_have_the_paths(app: FastAPI) -> None:
    """An application with a path of its own keeps it."""

    @app.get("/monitoring/metrics")
    async def own() -> str:
        return "own"

    assert (await ask(app, "/monitoring/metrics")).body == b'"own"'
