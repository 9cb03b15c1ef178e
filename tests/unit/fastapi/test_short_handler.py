"""Plain endpoints answered in the short way, and when they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from pydantic import BaseModel
from starlette.responses import Response
from tests.unit.asgi.driver import ask

from tailrace import Tailrace
from tailrace.fastapi import short_handler
from tailrace.fastapi.indexed_routes import index_routes
from tailrace.fastapi.short_handler import KNOWN, shorten, steps_of_fastapi
from tailrace.settings import HttpSettings, Settings

MEMORY = Settings(database_url=None, valkey_url=None)


class Item(BaseModel):
    """What is answered."""

    number: int


async def items(request: Request, x: int = 1) -> list[Item]:
    return [Item(number=x)]


def handler_of(route: Any) -> Any:
    """What the route's ``request_response`` runs."""
    (cell,) = route.app.__closure__
    return cell.cell_contents


def is_short(route: Any) -> bool:
    return handler_of(route).__module__ == short_handler.__name__


def test_this_fastapi_is_known() -> None:
    """Whoever raises FastAPI's version learns that its handler has changed, and looks at what before it is followed."""
    assert steps_of_fastapi() in KNOWN


async def test_plain_endpoints_are_answered_in_the_short_way_unless_that_is_turned_off() -> None:
    """On by default, declared or included; the setting leaves the routes alone."""
    app, other, included = FastAPI(), FastAPI(), APIRouter()
    Tailrace(app, MEMORY)
    Tailrace(other, MEMORY.model_copy(update={"http": HttpSettings(short_handlers=False)}))
    included.get("/items")(items)
    app.include_router(included, prefix="/in")
    for each in (app, other):
        each.get("/items")(items)
        assert (await ask(each, "/items", query_string=b"x=7")).content == b'[{"number":7}]'
    assert (await ask(app, "/in/items")).content == b'[{"number":1}]'
    assert is_short(app.router.routes[-1])
    assert not is_short(other.router.routes[-1])


def test_what_is_not_plain_is_left_alone() -> None:
    """Threads, streams, limits of concurrency, security scopes, and handlers of one's own."""

    class Own(APIRoute):
        def get_route_handler(self) -> Callable[..., Any]:
            whole = super().get_route_handler()

            async def own(request: Request) -> Response:
                return await whole(request)  # type: ignore[no-any-return]

            return own

    def in_a_thread() -> str:
        return ""

    async def with_scopes(scopes: SecurityScopes) -> None:
        assert scopes

    async def stream() -> Any:
        yield "part"

    app = FastAPI()
    app.get("/scopes", dependencies=[Depends(with_scopes)])(items)
    app.get("/thread")(in_a_thread)
    app.get("/stream")(stream)
    app.router.add_api_route("/own", items, route_class_override=Own)
    app.router.add_api_route("/limited", items, max_body_size=10)
    for route in app.router.routes[-5:]:
        before = route.app  # type: ignore[attr-defined]
        shorten(route)
        assert route.app is before  # type: ignore[attr-defined]


def test_nothing_is_shortened_where_fastapi_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version, or a function that somebody replaced: its steps are not known."""
    app = FastAPI()
    app.get("/items")(items)
    monkeypatch.setattr("fastapi.dependencies.utils.solve_dependencies", items)
    steps_of_fastapi.cache_clear()
    try:
        shorten(app.router.routes[-1])
    finally:
        steps_of_fastapi.cache_clear()
    assert not is_short(app.router.routes[-1])


async def test_a_dependency_that_is_added_later_is_asked_for() -> None:
    """Packages add dependencies to routes that are declared, and wrap endpoints."""
    app, asked = FastAPI(), []
    app.get("/items")(items)
    app.get("/needs", dependencies=[Depends(lambda: asked.append("needed"))])(items)
    assert index_routes(app.router, shorten) is not None
    plain, needs = app.router.routes[-2:]
    assert isinstance(plain, APIRoute)
    assert isinstance(needs, APIRoute)
    assert (await ask(app, "/items")).status == 200
    assert asked == []
    plain.dependant.dependencies.extend(needs.dependant.dependencies)
    assert (await ask(app, "/items")).status == 200
    assert asked == ["needed"]

    async def wrapper(**given: Any) -> list[Item]:
        asked.append("wrapped")
        return await items(**given)

    plain.dependant.dependencies.clear()
    plain.dependant.call = wrapper
    assert (await ask(app, "/items")).content == b'[{"number":1}]'
    assert asked == ["needed", "wrapped"]


async def test_a_change_of_what_a_dependency_needs_is_followed() -> None:
    """Deep in the tree, too; and an override that is set while requests are answered."""
    asked = []

    async def inner() -> None:
        asked.append("inner")

    needs_inner = Depends(inner)

    async def outer(found: Any = needs_inner) -> None:
        asked.append("outer")

    async def other() -> None:
        asked.append("other")

    app = FastAPI()
    app.get("/items", dependencies=[Depends(outer)])(items)
    assert index_routes(app.router, shorten) is not None
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    assert (await ask(app, "/items")).status == 200
    assert is_short(route)
    app.dependency_overrides[inner] = other
    assert (await ask(app, "/items")).status == 200
    app.dependency_overrides.clear()
    (needed,) = route.dependant.dependencies
    needed.dependencies[0].call = other
    assert (await ask(app, "/items")).status == 200
    needed.dependencies.clear()
    needed.call = inner
    assert (await ask(app, "/items")).status == 200
    assert asked == ["inner", "outer", "other", "outer", "other", "outer", "inner"]


async def test_requests_that_are_traced_go_fastapis_way() -> None:
    """Its spans are then as ever."""
    app = FastAPI()
    app.get("/items")(items)
    assert index_routes(app.router, shorten) is not None
    await ask(app, "/items")
    asked = []
    route = app.router.routes[-1]
    assert is_short(route)
    cells = dict(zip(handler_of(route).__code__.co_freevars, handler_of(route).__closure__, strict=True))
    whole = cells["whole"].cell_contents

    async def noted(request: Request) -> Any:
        asked.append(request)
        return await whole(request)

    cells["whole"].cell_contents = noted
    await ask(app, "/items")
    assert asked == []
    await ask(app, "/items", **{"fastapi.telemetry": None})
    assert len(asked) == 1
