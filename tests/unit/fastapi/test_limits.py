"""Limits in an application: whichever way its routes came in, and whoever answers."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached, limited, unlimited
from tailrace.errors import SettingsError
from tailrace.fastapi import RouteLimit
from tailrace.limits import ResilientLimiter
from tailrace.settings import HttpSettings, RateLimitSettings, Settings
from tailrace.testing.clock import FakeClock


def settings(**rate_limit: Any) -> Settings:
    return Settings(database_url=None, valkey_url=None, rate_limit=RateLimitSettings(**rate_limit))


def around(app: Any, *, general: str = "", **options: Any) -> Tailrace:
    return Tailrace(app, settings(general=general), clock=FakeClock(), **options)


async def statuses(app: Any, path: str, count: int = 2, **changes: Any) -> list[int]:
    return [(await ask(app, path, **changes)).status for _ in range(count)]


@limited("1/minute")
async def once() -> str:
    return "answered"


async def free() -> str:
    return "answered"


async def test_limits_hold_however_a_route_comes_in() -> None:
    """On the application, included, included twice over, mounted, and mounted in what is mounted."""
    app, inner, outer, sub, deep = (
        FastAPI(),
        APIRouter(prefix="/inner"),
        APIRouter(prefix="/outer"),
        FastAPI(),
        FastAPI(),
    )
    for router, path in ((app, "/own"), (inner, "/{x}"), (sub, "/there/{x}"), (deep, "/down")):
        router.get(path)(once)
    outer.include_router(inner)
    app.include_router(outer)
    sub.mount("/deep", deep)
    app.mount("/sub", sub)
    around(app)
    for path in ("/own", "/outer/inner/1", "/sub/there/1", "/sub/deep/down"):
        assert await statuses(app, path) == [200, 429]
    assert await statuses(app, "/outer/inner/2", 1) == [429], "the bucket is the route's, not the path's"


async def test_limits_hold_on_routes_added_late() -> None:
    """Added behind the first request: to the application, to a router that was included, to one that was mounted; also
    where that very path has been asked before."""
    app, router, sub = FastAPI(), APIRouter(), FastAPI()
    app.include_router(router, prefix="/router")
    app.mount("/sub", sub)
    around(app)
    paths = ("/own", "/router/late", "/sub/late", "/other/late")
    for path in paths:
        assert await statuses(app, path) == [404, 404]
    app.get("/own")(once)
    router.get("/late")(once)
    sub.get("/late")(once)
    late = APIRouter(prefix="/other")
    app.include_router(late)
    late.get("/late")(once)
    for path in paths:
        assert await statuses(app, path) == [200, 429]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_general_limits_hold_on_every_route(when: str) -> None:
    """However it comes in, also where there is none; but for those that decline them."""
    app, router, sub = FastAPI(), APIRouter(prefix="/router"), FastAPI()

    def declare() -> None:
        for where, path in ((app, "/own"), (router, "/x"), (sub, "/x")):
            where.get(path)(free)
        app.get("/declines")(unlimited(counting()))
        app.include_router(router)
        app.mount("/sub", sub)

    if when == "before":
        declare()
    around(app, general="5/minute")
    if when == "after":
        await ask(app, "/own")
        declare()
    found = [(await ask(app, path)).status for path in ("/own", "/router/x", "/sub/x", "/nowhere", "/own", "/own")]
    assert found[-1] == 429
    assert found.count(429) == (1 if when == "before" else 2)
    assert await statuses(app, "/declines", 9) == [200] * 9


def counting() -> Any:
    async def endpoint() -> str:
        return "answered"

    return endpoint


async def test_methods_have_limits_of_their_own_and_head_is_get() -> None:
    """Two endpoints of one path do not share; HEAD takes from what GET has."""
    app = FastAPI()
    around(app)
    app.get("/a")(limited("1/minute")(counting()))
    app.post("/a")(limited("2/minute")(counting()))
    assert await statuses(app, "/a", 3, method="POST") == [200, 200, 429]
    assert await statuses(app, "/a", 1) == [200]
    assert await statuses(app, "/a", 1, method="HEAD") == [429]


async def test_limits_by_host() -> None:
    """Behind a route that looks at the host, which is not part of a path."""
    app = Starlette(
        routes=[Host("a.example", Router([Route("/x", limited("1/minute")(page))])), Route("/x", free_page)]
    )
    around(app)
    host = [(b"host", b"a.example")]
    for _ in range(2):
        assert await statuses(app, "/x", 3) == [200] * 3
    scope: dict[str, Any] = {"headers": host}
    replies = [await _ask_host(app, "/x", **scope) for _ in range(2)]
    assert replies == [200, 429]


async def _ask_host(app: Any, path: str, headers: Any) -> int:
    async def without_host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "headers": headers}, receive, send)

    return (await ask(without_host, path)).status


async def page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("page")


async def free_page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("free")


async def test_an_opaque_mount_is_limited_in_general() -> None:
    """An ASGI application without routes is one route."""

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("raw")(scope, receive, send)

    app = Starlette(routes=[Mount("/raw", raw)])
    around(app, general="2/minute")
    assert await statuses(app, "/raw/a", 3) == [200, 200, 429]


async def test_several_limits_of_a_route_count_together() -> None:
    """Stacked, each with its own rate; what one refuses takes nothing from the others."""
    app = FastAPI()
    around(app, general="100/minute")

    @app.get("/a")
    @limited("3/hour", name="hourly")
    @limited(RouteLimit("2/minute", name="quick"))
    async def endpoint() -> str:
        return "answered"

    replies = [await ask(app, "/a") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].headers[b"ratelimit"] == b'"general";r=99;t=60, "hourly";r=2;t=2400, "quick";r=1;t=30'
    assert replies[2].headers[b"ratelimit"] == b'"quick";r=0;t=30'


async def test_whose_request_it_is_is_asked_of_the_application() -> None:
    """By the limit's own function, else by the one that the application gave, else by address."""
    app = FastAPI()
    around(app, general="1/minute", caller=lambda exchange: exchange.header("x-user"))
    app.get("/{x}")(free)
    app.get("/by/key")(limited("1/minute", by=lambda exchange: exchange.header("x-key"), name="general")(counting()))

    async def asked(path: str, name: bytes = b"x-none", value: bytes = b"") -> int:
        return (await ask(app, path, headers=[(name, value)])).status

    assert [await asked("/a", b"x-user", user) for user in (b"1", b"2", b"1")] == [200, 200, 429]
    assert [await asked("/a"), await asked("/b")] == [200, 429]
    assert [await asked("/by/key", b"x-key", key) for key in (b"3", b"4", b"3")] == [200, 200, 429]


@pytest.mark.parametrize("served", ["application", "tailrace"])
async def test_hits_are_counted(served: str) -> None:
    """An answer from the cache takes from the limit like any other, and says what is left; each is counted once."""
    app = FastAPI()
    tailrace = around(app, general="100/minute")
    calls = 0

    @app.get("/a")
    @limited("5/minute", name="own")
    @cached(ttl=60, shared=True)
    async def endpoint() -> str:
        nonlocal calls
        calls += 1
        return "answered"

    target = app if served == "application" else tailrace
    replies = [await ask(target, "/a") for _ in range(8)]
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 3
    assert calls == 1
    assert [reply.headers[b"x-ratelimit-remaining"] for reply in replies[:5]] == [b"4", b"3", b"2", b"1", b"0"]
    assert replies[4].cache_status.startswith(b"tailrace; hit")
    assert b"ratelimit" in replies[4].headers
    counted = tailrace.metrics["tailrace.limit.decisions"].series
    assert {labels: series[0] for labels, series in counted.items()} == {
        ("general", "admitted", "memory"): 5,
        ("own", "admitted", "memory"): 5,
        ("own", "refused", "memory"): 3,
    }


async def test_a_refusal_has_its_route_in_the_metrics() -> None:
    """By the route's template, although the router was not asked."""
    app = FastAPI()
    tailrace = around(app)
    app.get("/a/{x}")(limited("1/minute")(counting()))
    await statuses(app, "/a/7")
    assert ("GET", "/a/{x}", 429) in tailrace.metrics["http.server.request.duration"].series


async def test_monitoring_is_not_limited() -> None:
    """Whoever watches the service is not locked out by its own limits."""
    app = FastAPI()
    around(app, general="1/minute")
    assert await statuses(app, "/livez", 5) == [200] * 5


async def test_a_mounted_application_with_a_tailrace_keeps_its_own_limits() -> None:
    """Each looks after its own routes."""
    app, sub = FastAPI(), FastAPI()
    around(sub)
    sub.get("/a")(limited("1/minute")(counting()))
    app.mount("/sub", sub)
    around(app, general="3/minute")
    assert await statuses(app, "/sub/a", 3) == [200, 429, 429]
    assert await statuses(app, "/other", 1) == [429]


def test_websockets_are_limited() -> None:
    """The handshake of a limited route is refused before the application sees it."""
    app = FastAPI()
    around(app)

    @app.websocket("/ws/{x}")
    @limited("1/minute")
    async def endpoint(websocket: WebSocket, x: int) -> None:
        await websocket.accept()
        await websocket.close()

    client = TestClient(app)
    with client.websocket_connect("/ws/1"):
        pass
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/ws/2"):
        pass
    assert getattr(refused.value, "status_code", 429) == 429


async def test_limits_can_be_turned_off() -> None:
    """All of them, by one setting."""
    app = FastAPI()
    Tailrace(app, settings(enabled=False, general="1/minute"))
    app.get("/a")(once)
    reply = (await ask(app, "/a"), await ask(app, "/a"))[1]
    assert reply.status == 200
    assert b"ratelimit" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rate_limit": RateLimitSettings(general="fast")}, "RATE_LIMIT__GENERAL"),
        ({"http": HttpSettings(trusted_proxies="10.0.0.0/99")}, "TRUSTED_PROXIES"),
    ],
)
def test_a_setting_that_cannot_be_read_is_refused_at_once(changes: dict[str, Any], name: str) -> None:
    """When the application is put together, by its name."""
    with pytest.raises(SettingsError, match=name):
        Tailrace(FastAPI(), Settings(database_url=None, valkey_url=None, **changes))


async def test_trusted_proxies_come_from_the_settings() -> None:
    """Two clients behind one proxy are two callers."""
    app = FastAPI()
    Tailrace(
        app,
        Settings(
            database_url=None,
            valkey_url=None,
            http=HttpSettings(trusted_proxies="192.0.2.0/24"),
            rate_limit=RateLimitSettings(general="1/minute"),
        ),
    )
    app.get("/a")(counting())

    async def asked(client: bytes) -> int:
        return (await ask(app, "/a", headers=[(b"x-forwarded-for", client)])).status

    assert [await asked(client) for client in (b"203.0.113.1", b"203.0.113.2", b"203.0.113.1")] == [200, 200, 429]


def test_openapi_shows_the_refusal_where_it_can_come() -> None:
    """On limited operations, with its fields; not on the others."""
    app = FastAPI()
    around(app)
    router = APIRouter(prefix="/r")
    router.post("/a/{x}")(limited("1/minute")(counting()))
    app.include_router(router)
    app.get("/b")(counting())
    paths = app.openapi()["paths"]
    refused = paths["/r/a/{x}"]["post"]["responses"]["429"]
    assert "Retry-After" in refused["headers"]
    assert refused["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "429" not in paths["/b"]["get"]["responses"]


async def test_with_a_store_limits_are_kept_there() -> None:
    """Processes that share a store share limits; nothing is connected before it is needed."""
    app = FastAPI()
    tailrace = Tailrace(
        app, Settings(database_url=None, valkey_url=SecretStr("redis://127.0.0.1:1/0"), rate_limit=RateLimitSettings())
    )
    assert isinstance(tailrace.limiter, ResilientLimiter)
    await tailrace.limiter.aclose()
    await tailrace.store.aclose()


def test_limited_takes_a_limit_or_its_fields() -> None:
    """Not both."""
    with pytest.raises(TypeError):
        limited(RouteLimit("1/s"), burst=3)
    with pytest.raises(TypeError):
        limited("1/s", brust=3)
