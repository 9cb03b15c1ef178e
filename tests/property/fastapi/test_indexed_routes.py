from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Host, Match, Mount, Route, WebSocketRoute
from tests.unit.asgi.driver import ask

from tailrace.fastapi.indexed_routes import index_routes

SEGMENTS = ["a", "b", "a b", "ab", "{x}", "{y}", "{x:int}", "{y:path}", "a{x}", "{x}.b", "{x:float}", "{x:uuid}"]
TAKEN = {
    "{x}": ["a", "7", "ab", "\n"],
    "{y}": ["b", "z"],
    "{x:int}": ["7", "a"],
    "{y:path}": ["a/b", ""],
    "a{x}": ["ab", "a"],
    "{x}.b": ["7.b"],
    "{x:float}": ["1.5", "a"],
    "{x:uuid}": ["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "b"],
}
METHODS = ["GET", "POST", "HEAD", "OPTIONS"]


class Backwards(APIRoute):
    """A route of one's own, which answers to what it is called backwards, too."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        match, child = super().matches(scope)
        return (match, child) if match is not Match.NONE else super().matches({**scope, "path": scope["path"][::-1]})


@st.composite
def templates(draw: st.DrawFn) -> str:
    chosen = draw(st.lists(st.sampled_from(SEGMENTS), max_size=3))
    kept: list[str] = []
    for segment in chosen:
        name = segment.partition("{")[2][:1]
        if not name or not any("{" + name in other for other in kept):
            kept.append(segment)
    return "/" + "/".join(kept) + draw(st.sampled_from(["", "", "/"]) if kept else st.just(""))


kinds = st.sampled_from(["api", "api", "api", "route", "websocket", "own", "replaced", "included", "mount", "host"])
declared = st.recursive(
    st.tuples(
        kinds.filter(lambda kind: kind not in ("included", "mount", "host")),
        templates(),
        st.sets(st.sampled_from(METHODS[:2]), min_size=1),
    ),
    lambda inner: st.tuples(
        st.sampled_from(["included", "included", "mount", "host"]),
        st.sampled_from(["/a", "/b", "/{z}", "/a b"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)
tables = st.lists(declared, max_size=10)


@st.composite
def paths(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(["", "", "", "/a", "/b", "/q", "/a/a"]))
    template = draw(templates())
    filled = [draw(st.sampled_from(TAKEN.get(segment, [segment]))) for segment in template.split("/")]
    ending = draw(st.sampled_from(["", "", "", "/", "\n", "/a", "//"]))
    return prefix + "/".join(filled) + ending


asked = st.tuples(st.sampled_from(METHODS), paths(), st.sampled_from(["", "", "", "/a", "/r"]))
steps = st.lists(
    st.one_of(asked, asked, st.tuples(st.just("add"), declared), st.sampled_from([("drop",), ("turn",)])), max_size=12
)


def seen(request: Request, number: int) -> dict[str, Any]:
    """What an endpoint learns of how it was found."""
    scope = request.scope
    return {
        "number": number,
        "params": {name: str(value) for name, value in scope["path_params"].items()},
        "route": repr(getattr(scope.get("route"), "path", None)),
        "root": scope["root_path"],
        "endpoint": scope["endpoint"].__name__,
        "the router": type(scope["router"]).__name__ + str(len(scope["router"].routes)),
    }


class Service:
    """An application with a table of routes; the same table makes the same application."""

    def __init__(self, table: Sequence[Any], make: Callable[[], Any] = FastAPI) -> None:
        self.app = make()
        self._number = 0
        self._declared: list[Any] = [self.app]
        for one in table:
            self.declare(self.app.router, one)

    def declare(self, router: Any, one: Any) -> None:
        kind, path, rest = one
        number = self._number = self._number + 1
        if kind in ("included", "mount", "host"):
            inner = APIRouter() if kind == "included" else FastAPI(openapi_url=None) if number % 2 else Starlette()
            target = inner if kind == "included" else inner.router
            for each in rest:
                self.declare(target, each)
            if kind == "included" and isinstance(router, APIRouter):
                router.include_router(inner, prefix=path)
                self._declared.append(inner)
            elif kind == "mount":
                router.routes.append(Mount(path if number % 4 else "/", inner))
            else:
                router.routes.append(Host("testserver" if number % 3 else "other", inner))
            return

        async def endpoint(request: Request) -> Any:
            return JSONResponse(seen(request, number))

        endpoint.__name__ = f"endpoint{number}"
        if kind == "websocket":
            router.routes.append(WebSocketRoute(path, endpoint))
        elif isinstance(router, APIRouter) and kind != "route":
            own = Backwards if kind == "own" else None
            router.add_api_route(path, endpoint, methods=list(rest), route_class_override=own)
        else:
            router.routes.append(Route(path, endpoint, methods=list(rest)))
        if kind == "replaced":
            router.routes[-1].matches = one_further(router.routes[-1].matches)

    def step(self, step: Any, number: int) -> None:
        if step[0] == "add":
            # Where it is added, too, differs: to the application, or to a router that is included already.
            target = self._declared[number % len(self._declared)]
            self.declare(getattr(target, "router", target), step[1])
            # FastAPI notices what is appended to an included router's list when something is declared by its methods.
            target.add_api_route(f"/declared/{number}", lambda: number)
        elif step[0] == "turn":
            self.app.router.routes.reverse()
        elif self.app.router.routes:
            del self.app.router.routes[number % len(self.app.router.routes)]


def one_further(matches: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``matches`` of a route that also takes what has one segment more."""
    return lambda scope: matches({**scope, "path": scope["path"].removesuffix("/b")})


async def outcome(app: Any, asked: Any) -> Any:
    method, path, root = asked
    try:
        reply = await ask(app, root + path, method=method, root_path=root)
    except Exception as error:  # as a path without a slash in front makes of a redirect
        return repr(error)
    return reply.status, sorted(reply.headers.items()), reply.body


GET = {"GET"}
NEXT = ("GET", "/a/b", "")


@example([("api", "/a/{x}", GET), ("api", "/a/b", {"POST"})], [NEXT, ("POST", "/a/b", ""), ("HEAD", "/a/b", "")])
@example([("api", "/a", GET), ("api", "/{x}", GET)], [("GET", "/a\n", ""), ("GET", "/a/", ""), ("POST", "/a", "")])
@example([("included", "/a", []), ("api", "/{y:path}", GET)], [NEXT, ("add", ("api", "/b", GET)), NEXT])
@example([("api", "/a/b", GET), ("api", "/a/{x}", GET)], [NEXT, ("turn",), NEXT])
@example([("replaced", "/a", GET), ("api", "/a/b", GET)], [NEXT])
@example([("included", "/a", [("replaced", "/a", GET)]), ("api", "/{y:path}", GET)], [("GET", "/a/a/b", "")])
@example([("own", "/ab/{x}", GET), ("api", "/{y:path}", GET)], [("GET", "/7/ba/", ""), ("GET", "/z/ba/", "")])
@example([("included", "/a", [("own", "/b/a/{x}", GET)]), ("api", "/{y:path}", GET)], [("GET", "/7/a/b/a/", "")])
@given(tables, steps)
@settings(max_examples=150)
def test_routes_are_found_as_the_router_finds_them(table: list[Any], steps: list[Any]) -> None:
    """Whatever the routes, and however they change, the index leads to the same route, parameters and answers."""

    async def run() -> None:
        plain, indexed = Service(table), Service(table)
        index = index_routes(indexed.app.router)
        assert index is not None
        for number, step in enumerate(steps):
            if step[0] in METHODS:
                assert await outcome(indexed.app, step) == await outcome(plain.app, step)
            else:
                for service in (plain, indexed):
                    service.step(step, number)

    asyncio.run(run())


@given(tables, st.lists(asked, max_size=8))
@settings(max_examples=50)
def test_routes_of_starlette_are_found_in_the_same_way(table: list[Any], questions: list[Any]) -> None:
    """Without FastAPI, too, the index changes nothing of the answers."""

    async def run() -> None:
        plain, indexed = Service(table, Starlette), Service(table, Starlette)
        assert index_routes(indexed.app.router) is not None
        for question in questions:
            assert await outcome(indexed.app, question) == await outcome(plain.app, question)

    asyncio.run(run())
