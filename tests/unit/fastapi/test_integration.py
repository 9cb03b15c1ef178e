from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, HTTPException, Query
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field, SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.unit.asgi.driver import ask

from tailrace import Tailrace, cached
from tailrace.asgi import (
    ProblemDetailsMiddleware,
    RequestContextMiddleware,
    ResponseCacheMiddleware,
    RoutePolicy,
    by_path,
)
from tailrace.asgi.stack import ORDER, stack
from tailrace.cache import Cache
from tailrace.errors import DatabaseUnavailableError, SettingsError
from tailrace.fastapi import CacheDependency, ErrorShape, RequestDependency
from tailrace.settings import HttpSettings, Settings
from tailrace.stores import MemoryStore

MEMORY = Settings(database_url=None, valkey_url=None)


def user(exchange: Any) -> str | None:
    return exchange.header("x-user")


def counting(numbers: dict[str, int], name: str) -> Any:
    async def endpoint() -> dict[str, int]:
        numbers[name] = numbers.get(name, 0) + 1
        return {name: numbers[name]}

    return endpoint


def declare(app: FastAPI, numbers: dict[str, int]) -> None:
    inner, outer, sub = APIRouter(prefix="/inner"), APIRouter(prefix="/outer"), FastAPI()
    for router, path, name in ((app, "/plain", "plain"), (inner, "/{x}", "included"), (sub, "/deep/{x}", "mounted")):
        router.get(path)(cached(ttl=60, shared=True)(counting(numbers, name)))
    outer.include_router(inner)
    app.include_router(outer)
    app.mount("/sub", sub)


PATHS = {"plain": "/plain", "included": "/outer/inner/5", "mounted": "/sub/deep/5"}


@pytest.mark.parametrize("before", [True, False])
async def test_cached_routes_wherever_they_are(before: bool) -> None:
    """Marked endpoints are cached on the application, on included routers and on mounted applications, whether the
    routes are declared before or after."""
    app, numbers = FastAPI(), {}
    if before:
        tailrace = Tailrace(app, MEMORY)
        declare(app, numbers)
    else:
        declare(app, numbers)
        tailrace = Tailrace(app, MEMORY)
    for name, path in PATHS.items():
        replies = [await ask(app, path) for _ in range(2)]
        assert json.loads(replies[1].body) == {name: 1}
        assert replies[1].cache_status.startswith(b"tailrace; hit"), name
    routes = {labels[1] for labels in tailrace.metrics["http.server.request.duration"].series}
    assert routes == {"/plain", "/outer/inner/{x}", "/sub/deep/{x}"}


async def test_routes_included_after_the_first_request() -> None:
    """A route that comes late is cached as well."""
    app, numbers = FastAPI(), {}
    Tailrace(app, MEMORY)
    assert (await ask(app, "/late")).status == 404
    app.get("/late")(cached(ttl=60, shared=True)(counting(numbers, "late")))
    for _ in range(3):
        await ask(app, "/late")
    assert numbers == {"late": 1}


async def test_under_a_root_path() -> None:
    """Behind a mount or a proxy prefix the same routes are found."""
    app, numbers = FastAPI(), {}
    Tailrace(app, MEMORY)
    declare(app, numbers)
    parent = Starlette(routes=[Mount("/service", app)])
    for _ in range(2):
        assert (await ask(parent, "/service/outer/inner/5")).status == 200
    assert numbers == {"included": 1}
    assert (await ask(parent, "/service/livez")).status == 200


async def test_first_match_wins() -> None:
    """A path that an earlier, uncached route answers is not answered from a later one's cache."""
    app, numbers = FastAPI(), {}
    Tailrace(app, MEMORY)
    app.get("/items/special")(counting(numbers, "special"))
    app.get("/items/{x}")(cached(ttl=60, shared=True)(counting(numbers, "items")))
    for path in ("/items/special", "/items/1"):
        for _ in range(2):
            await ask(app, path)
    assert numbers == {"special": 2, "items": 1}


async def test_mounted_application_with_its_own() -> None:
    """A mounted application that has a Tailrace looks after its own routes; the request is reported once."""
    app, sub, numbers = FastAPI(), FastAPI(), {}
    outer, inner = Tailrace(app, MEMORY), Tailrace(sub, MEMORY)
    sub.get("/x")(cached(ttl=60, shared=True)(counting(numbers, "x")))
    app.mount("/sub", sub)
    for _ in range(2):
        reply = await ask(app, "/sub/x")
    assert numbers == {"x": 1}
    assert sum(name == b"x-request-id" for name, _ in reply.messages[0]["headers"]) == 1
    assert sum(name == b"cache-status" for name, _ in reply.messages[0]["headers"]) == 1
    assert outer.metrics["http.server.request.duration"].series
    assert not inner.metrics["http.server.request.duration"].series


async def test_route_labels_are_templates() -> None:
    """Labels are templates, of every kind of route, and what matches nothing is one label."""
    app = FastAPI()
    tailrace = Tailrace(app, MEMORY)
    router = APIRouter(prefix="/v1")
    router.get("/a/{x}")(counting({}, "a"))
    app.include_router(router)
    app.mount("/static/{tenant}", StaticFiles(directory="."))
    app.add_route("/raw", lambda request: PlainTextResponse("x"))
    for path in (
        "/v1/a/1",
        "/v1/a/2",
        "/nothing/1",
        "/nothing/2",
        "/static/t1/pyproject.toml",
        "/static/t2/no",
        "/raw",
    ):
        await ask(app, path)
    routes = {labels[1] for labels in tailrace.metrics["http.server.request.duration"].series}
    assert routes == {"/v1/a/{x}", "{unmatched}", "/static/{tenant}/{path}", "/raw"}


async def test_every_failure_has_one_shape(caplog: pytest.LogCaptureFixture) -> None:
    """Validation, HTTPException, Tailrace's and unexpected errors, missing routes and methods: one body, and the id."""
    app = FastAPI()
    Tailrace(app, MEMORY)

    @app.get("/fails/{kind}")
    async def fails(kind: str, days: Annotated[int, Query()] = 1) -> None:
        raise {
            "http": HTTPException(403, "not yours", headers={"x-why": "a\r\nb"}),
            "coded": HTTPException(409, {"code": "TAKEN", "message": "taken", "by": 3}),
            "tailrace": DatabaseUnavailableError("host db.internal", retry_after=3),
            "bug": ZeroDivisionError("db.internal"),
        }[kind]

    cases = [
        ("/fails/http", 403, "forbidden"),
        ("/fails/coded", 409, "TAKEN"),
        ("/fails/tailrace", 503, "database_unavailable"),
        ("/fails/bug", 500, "internal_error"),
        ("/nowhere", 404, "not_found"),
    ]
    for path, status, code in cases:
        reply = await ask(app, path, headers=[(b"x-request-id", b"r-7")])
        body = json.loads(reply.body)
        assert (reply.status, body["status"], body["code"], body["request_id"]) == (status, status, code, "r-7")
        assert reply.headers[b"content-type"] == b"application/problem+json"
        assert reply.headers[b"x-request-id"] == b"r-7"
        assert b"db.internal" not in reply.body
        assert all(b"\r" not in value for _, value in reply.messages[0]["headers"])
    reply = await ask(app, "/fails/http", query_string=b"days=secret")
    assert reply.status == 422
    assert json.loads(reply.body)["errors"][0]["location"] == ["query", "days"]
    assert b"secret" not in reply.body
    assert (await ask(app, "/fails/http", method="POST")).status == 405
    assert "db.internal" in caplog.text


async def test_own_handlers_go_first() -> None:
    """What the application handles itself stays its own."""
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def own(request: Any, error: Any) -> PlainTextResponse:
        return PlainTextResponse("mine", 418)

    Tailrace(app, MEMORY)

    @app.get("/")
    async def fails() -> None:
        raise HTTPException(400)

    assert (await ask(app)).status == 418


def test_openapi_shows_the_shape() -> None:
    """The document shows the body that clients really receive, and no other."""
    app = FastAPI()
    Tailrace(app, MEMORY, error_shape=ErrorShape(lambda problem: {"success": False}, name="ServiceError"))

    @app.get("/a/{x}")
    async def a(x: int) -> int:
        return x

    document = app.openapi()
    responses = document["paths"]["/a/{x}"]["get"]["responses"]
    expected = {"application/json": {"schema": {"$ref": "#/components/schemas/ServiceError"}}}
    assert responses["422"]["content"] == responses["default"]["content"] == expected
    assert set(document["components"]["schemas"]) == {"ServiceError"}
    assert app.openapi() == document


async def test_lifespan_is_wrapped_and_repeatable() -> None:
    """Parts start before the application's own lifespan and stop after it, as often as it is run."""
    seen: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        seen.append(("start", tailrace.started))
        yield
        seen.append(("stop", tailrace.started))

    app = FastAPI(lifespan=own)
    tailrace = Tailrace(app, MEMORY)
    numbers: dict[str, int] = {}
    app.get("/a")(cached(ttl=60, shared=True)(counting(numbers, "a")))
    for _ in range(2):
        async with app.router.lifespan_context(app):
            for _ in range(2):
                assert (await ask(app, "/a")).status == 200
            assert (await ask(app, "/readyz")).status == 200
        assert (await ask(app, "/readyz")).status == 503
    assert seen == [("start", True), ("stop", True)] * 2
    assert numbers == {"a": 2}


async def test_metrics_are_closed_to_strangers() -> None:
    """Only who shows the token, or is on this machine with no proxy in between, learns that there are metrics."""
    opened, guarded = FastAPI(), FastAPI()
    Tailrace(opened, MEMORY)
    Tailrace(guarded, MEMORY.model_copy(update={"http": HttpSettings(admin_token=SecretStr("t0"))}))
    here = ("127.0.0.1", 1)
    assert (await ask(opened, "/metrics", client=here)).status == 200
    assert (await ask(opened, "/metrics", client=("::1", 1))).status == 200
    assert (await ask(opened, "/metrics")).status == 404
    assert (await ask(opened, "/metrics", client=None)).status == 404
    assert (await ask(opened, "/metrics", client=here, headers=[(b"x-forwarded-for", b"1.2.3.4")])).status == 404
    assert (await ask(guarded, "/metrics", client=here)).status == 404
    assert (await ask(guarded, "/metrics", headers=[(b"authorization", b"Bearer wrong")])).status == 404
    reply = await ask(guarded, "/metrics", headers=[(b"authorization", b"Bearer t0")])
    assert reply.status == 200
    assert b"http_server_request_duration_seconds_bucket" in reply.body
    assert "/metrics" not in opened.openapi()["paths"]


async def test_own_health_route_is_kept() -> None:
    """A path that the application answers itself stays its own, and a catch-all does not hide ours."""
    app = FastAPI()
    Tailrace(app, MEMORY)
    app.get("/livez")(counting({}, "own"))
    app.get("/{path:path}")(counting({}, "rest"))
    assert json.loads((await ask(app, "/livez")).body) == {"own": 1}
    assert json.loads((await ask(app, "/readyz")).body)["checks"] == {"store": "up"}


async def test_dependencies() -> None:
    """Endpoints get the parts by annotation."""
    app = FastAPI()
    tailrace = Tailrace(app, MEMORY)

    @app.get("/")
    async def endpoint(cache: CacheDependency, request: RequestDependency) -> dict[str, Any]:
        return {"same": cache is tailrace.cache, "id": request.request_id}

    reply = await ask(app)
    assert json.loads(reply.body) == {"same": True, "id": reply.headers[b"x-request-id"].decode()}


async def test_signature_and_annotations_are_kept() -> None:
    """The decorator returns the endpoint itself, so validation and the document know its types."""

    async def endpoint(x: int) -> list[int]:
        return [x]

    assert cached(ttl=1, shared=True)(endpoint) is endpoint


async def test_streams_are_not_held_back_by_cached_routes() -> None:
    """A streaming endpoint marked by mistake still streams."""
    app = FastAPI()
    Tailrace(app, MEMORY)

    @app.get("/")
    @cached(ttl=60, shared=True)
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return StreamingResponse(parts())

    reply = await ask(app)
    assert [m.get("body") for m in reply.messages[1:]][:2] == [b"a", b"b"]


async def test_cors_inside() -> None:
    """Responses that differ by Origin are kept apart by the Vary of the middleware that makes them differ."""
    app = FastAPI()
    Tailrace(app, MEMORY)
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.test", "https://b.test"])
    app.get("/")(cached(ttl=60, shared=True)(counting({}, "x")))
    for origin in (b"https://a.test", b"https://b.test") * 2:
        reply = await ask(app, headers=[(b"origin", origin)])
        assert reply.headers[b"access-control-allow-origin"] == origin


@pytest.mark.parametrize("where", ["route", "router", "application"])
async def test_a_closed_route_is_not_opened_by_its_cache(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who is let in gets an answer; that it is the same for all of these does not make it everybody's."""
    known = APIKeyHeader(name="X-API-Key")

    async def member(key: str = Depends(known)) -> None:
        if key != "secret":
            raise HTTPException(403)

    closed = {name: [Depends(member)] if name == where else [] for name in ("route", "router", "application")}
    app, router = FastAPI(dependencies=closed["application"]), APIRouter(prefix="/in", dependencies=closed["router"])
    Tailrace(app, MEMORY)
    router.get("/", dependencies=closed["route"])(cached(ttl=60, shared=True)(counting({}, "x")))
    app.include_router(router)
    for _ in range(2):
        assert (await ask(app, "/in/", headers=[(b"x-api-key", b"secret")])).status == 200
    assert (await ask(app, "/in/")).status in (401, 403)
    assert caplog.text.count("/in/ is not cached: it asks who its client is") == 1


class _Fields(BaseModel):
    x_plan: str = ""
    region: str = Field("", alias="X-Region")


async def _planned(fields: Annotated[_Fields, Header()]) -> str:
    return fields.x_plan + fields.region


async def _of(x_user: Annotated[str, Header()] = "") -> str:
    return x_user


@pytest.mark.parametrize("field", ["x-user", "x-plan", "x-region", "cookie", "accept-language"])
async def test_what_an_endpoint_reads_tells_its_answers_apart(field: str) -> None:
    """Also where its policy says that they are everyone's: everyone's who sends the same."""
    app = FastAPI()
    Tailrace(app, MEMORY)

    @app.get("/")
    @cached(ttl=60, shared=True)
    async def endpoint(
        user: Annotated[str, Depends(_of)],
        plan: Annotated[str, Depends(_planned)],
        accept_language: Annotated[str, Header()] = "",
        sid: Annotated[str, Cookie()] = "",
    ) -> list[str]:
        return [user, plan, accept_language, sid]

    for value in (b"sid=a", b"sid=b", b"sid=a"):
        reply = await ask(app, headers=[(field.encode(), value)])
        assert (value.removeprefix(b"sid=") if field == "cookie" else value) in reply.body
    assert reply.cache_status.startswith(b"tailrace; hit")


async def test_whose_answer_it_is_does_not_say_all() -> None:
    """One client's answers differ by the header fields that the endpoint reads; cookies say who it is."""
    app = FastAPI()
    Tailrace(app, MEMORY)

    @app.get("/")
    @cached(ttl=60, identity=user)
    async def endpoint(accept_language: Annotated[str, Header()], sid: Annotated[str, Cookie()]) -> str:
        return accept_language

    for language, sid, found in (
        (b"de", b"sid=1", b"uri-miss"),
        (b"fr", b"sid=1", b"uri-miss"),
        (b"de", b"sid=2", b"hit"),
    ):
        headers = [(b"x-user", b"1"), (b"accept-language", language), (b"cookie", sid)]
        reply = await ask(app, headers=headers)
        assert language in reply.body
        assert found in reply.cache_status


async def test_one_tailrace_an_application() -> None:
    """A second one is refused instead of doing everything twice."""
    app = FastAPI()
    Tailrace(app, MEMORY)
    with pytest.raises(SettingsError):
        Tailrace(app, MEMORY)


async def test_layers_alone_on_starlette() -> None:
    """Each layer is plain ASGI middleware for any framework."""
    calls = []

    async def endpoint(request: Any) -> PlainTextResponse:
        calls.append(request.url.path)
        return PlainTextResponse("x")

    policies = {"/": RoutePolicy(ttl=60, identity=user)}
    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=[
            Middleware(RequestContextMiddleware),
            Middleware(ProblemDetailsMiddleware),
            Middleware(ResponseCacheMiddleware, cache=Cache(MemoryStore()), resolve=by_path(policies)),
        ],
    )
    for name in (b"1", b"1", b"2"):
        assert (await ask(app, headers=[(b"x-user", name)])).body == b"x"
    assert len(calls) == 2


async def test_tailrace_on_starlette() -> None:
    """The whole front door works around Starlette as well."""
    app = Starlette(routes=[Route("/{x}", cached(ttl=60, shared=True)(lambda request: PlainTextResponse("y")))])
    Tailrace(app, MEMORY)
    await ask(app, "/1")
    assert (await ask(app, "/1")).cache_status.startswith(b"tailrace; hit")
    assert json.loads((await ask(app, "/a/b")).body)["code"] == "not_found"


def test_order_of_layers() -> None:
    """The documented order is the order, however the layers are given; a layer without a place is refused."""
    assert [name for name, _ in ORDER] == [
        "request_context",
        "problem_details",
        "monitoring",
        "load_shedding",
        "versioning",
        "rate_limit",
        "read_your_writes",
        "response_cache",
        "http_cache",
        "compression",
        "request_limits",
        "request_decoding",
    ]
    made: Any = stack("app", {name: (lambda app, name=name: (name, app)) for name, _ in reversed(ORDER)})  # type: ignore[arg-type,misc,dict-item]
    assert made[0] == "request_context"
    assert made[1][0] == "problem_details"
    with pytest.raises(ValueError, match="no place"):
        stack(made, {"rate_limt": lambda app: app})


@pytest.mark.parametrize("freeze", [True, False])
def test_what_is_loaded_is_left_out_of_collections(freeze: bool) -> None:
    """Starting keeps the garbage collector from what has been loaded, once in the process, unless a setting says no."""
    program = (
        "import asyncio, gc; from fastapi import FastAPI; from tailrace import Tailrace;"
        "from tailrace.settings import HttpSettings, Settings;"
        f"settings = Settings(database_url=None, valkey_url=None, http=HttpSettings(freeze={freeze}));"
        "one, two = Tailrace(FastAPI(), settings), Tailrace(FastAPI(), settings);"
        "run = asyncio.Runner(); run.run(one.start()); first = gc.get_freeze_count(); run.run(two.start());"
        f"assert (first > 10_000) is {freeze}, first; assert gc.get_freeze_count() <= first;"
        "run.run(one.stop()); run.run(two.stop()); run.close()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_importing_costs_nothing() -> None:
    """``import tailrace`` loads nothing but itself; the names a user types come when they are used."""
    program = (
        "import sys; before = set(sys.modules); import tailrace; new = {m for m in sys.modules if m not in before};"
        "assert not any(m.split('.')[0] in ('fastapi', 'starlette', 'pydantic', 'sqlalchemy') for m in new), new;"
        "assert {m for m in new if m.startswith('tailrace')} == {'tailrace'}, new;"
        "assert tailrace.tag('a') == 'a'; assert set(tailrace.__all__) <= set(dir(tailrace));"
        "[getattr(tailrace, name) for name in tailrace.__all__]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
