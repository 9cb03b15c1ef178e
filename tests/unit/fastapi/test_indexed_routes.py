from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from tests.unit.asgi.driver import ask, http_scope

from tailrace import Tailrace
from tailrace.fastapi.indexed_routes import IndexedRoutes, index_routes
from tailrace.fastapi.path_index import PathIndex
from tailrace.settings import HttpSettings, Settings

MEMORY = Settings(database_url=None, valkey_url=None)


async def endpoint() -> str:
    return "here"


def test_a_path_has_the_templates_that_may_match_it_and_hardly_others() -> None:
    """Static templates are told apart, others by the segments before their first parameter; the order is kept."""
    index = PathIndex(["/a/{x}", "/a/b", None, "/b/{x}/c", "/b/d{x}", "/a/b", "/{x}"])
    assert index.of("/a/b") == (0, 1, 2, 5, 6)
    assert index.of("/a/c/d") == (0, 2, 6)
    assert index.of("/b/7/c") == (2, 3, 4, 6)
    assert index.of("/q") == (2, 6)
    assert index.of("") == (2, 6)
    assert PathIndex(["/a", "/b/{x}"]).of("/c") == ()


async def test_of_many_routes_those_are_tried_that_may_match() -> None:
    """However many routes there are, declared or included, a path is tried against its own."""
    app, included = FastAPI(openapi_url=None), APIRouter()
    for number in range(50):
        app.get(f"/own/{number}/{{x}}")(endpoint)
        included.get(f"/{number}/{{x}}")(endpoint)
    app.include_router(included, prefix="/included")
    index = index_routes(app.router)
    assert index is not None
    for path in ("/own/7/x", "/included/7/x"):
        assert [route.path for route in index.candidates(http_scope(path))] == [path.replace("/x", "/{x}")]
        assert (await ask(app, path)).status == 200
    assert index.candidates(http_scope("/elsewhere")) == []


async def test_an_application_has_its_routes_found_by_index_unless_that_is_turned_off() -> None:
    """On by default; the setting leaves the router alone."""
    app, other = FastAPI(), FastAPI()
    Tailrace(app, MEMORY)
    Tailrace(other, MEMORY.model_copy(update={"http": HttpSettings(index_routes=False)}))
    for each in (app, other):
        each.get("/here")(endpoint)
        assert (await ask(each, "/here")).status == 200
    assert isinstance(app.router.middleware_stack, IndexedRoutes)
    assert other.router.middleware_stack == other.router.app


def test_a_router_with_code_of_its_own_is_left_alone() -> None:
    """Whoever routes in a way of their own goes on doing so."""

    class Own(APIRouter):
        async def app(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("own")(scope, receive, send)

    assert index_routes(Own()) is None
    assert index_routes(object()) is None


async def test_a_route_that_is_put_in_anothers_place_is_found() -> None:
    """Not the number of routes counts, but which they are, even where they are equal."""

    def answering(text: str) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse(text)(scope, receive, send)

        return answer

    def route(text: str) -> Route:
        made = Route("/here", endpoint)
        made.app = answering(text)
        return made

    app = FastAPI(openapi_url=None)
    assert index_routes(app.router) is not None
    for text in ("old", "new"):
        app.router.routes[:] = [route(text)]
        assert (await ask(app, "/here")).body == text.encode()


async def test_a_router_whose_routes_cannot_be_made_concerns_those_who_ask_for_them() -> None:
    """A mistake of one included router leaves the routes before it as they are."""
    app, inner, outer = FastAPI(openapi_url=None), APIRouter(), APIRouter()
    app.get("/here")(endpoint)
    outer.include_router(inner, prefix="/{x}")
    app.include_router(outer)
    inner.get("/{x}")(endpoint)
    assert index_routes(app.router) is not None
    assert (await ask(app, "/here")).status == 200
    with pytest.raises(ValueError, match="Duplicated param name"):
        await ask(app, "/1/2")
