from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from tests.unit.asgi.driver import App, ask

from tailrace import Tailrace
from tailrace.asgi import (
    ProblemDetailsMiddleware,
    RateLimitMiddleware,
    ReadYourWritesMiddleware,
    RequestContextMiddleware,
    Resolved,
    ResponseCacheMiddleware,
    RouteLimit,
    RoutePolicy,
    VersioningMiddleware,
    Versions,
)
from tailrace.asgi.api_versions import Version
from tailrace.asgi.exchange import EXCHANGE, Exchange, exchange_of
from tailrace.asgi.load_shedding import LoadSheddingMiddleware
from tailrace.cache import Cache
from tailrace.settings import RateLimitSettings, Settings
from tailrace.stores import MemoryStore

OF_ONE_REQUEST = {b"x-request-id", b"x-response-time"}


def limited(app: Any) -> Any:
    return RateLimitMiddleware(app, general=[RouteLimit("100/minute", name="general")])


def versioned(app: Any) -> Any:
    versions = Versions([Version("v1")], field="Api-Version", default="v1", routed=False)
    return VersioningMiddleware(app, versions=versions)


Layer = Callable[[Any], Any]
LAYERS: list[Layer] = [
    limited,
    versioned,
    RequestContextMiddleware,
    ProblemDetailsMiddleware,
    LoadSheddingMiddleware,
]


@pytest.mark.parametrize("layers", list(itertools.permutations(LAYERS, 3)))
async def test_layers_tell_the_same_whoever_stands_outside(layers: tuple[Layer, ...]) -> None:
    """What a layer adds to a response does not depend on whether another has taken the adding over, nor is it said
    twice; and it is on a failure's answer as well, if whoever answers failures stands outside."""
    app: Any = App(headers=[(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
    for layer in reversed(layers):
        app = layer(app)
    reply = await ask(app, "/api/things")
    names = [name for name, _ in reply.messages[0]["headers"]]
    assert names.count(b"ratelimit") == names.count(b"x-ratelimit-reset") == (limited in layers)
    assert names.count(b"api-version") == (versioned in layers)
    assert names.count(b"x-request-id") == (RequestContextMiddleware in layers)
    assert names.count(b"set-cookie") == 2
    assert reply.body == b"hello"


async def test_a_failure_says_what_an_answer_would() -> None:
    """How much is left, and which version answered, is said of a request that failed inside."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("unexpected")

    reply = await ask(RequestContextMiddleware(ProblemDetailsMiddleware(versioned(limited(failing)))), "/api/things")
    assert reply.status == 500
    assert reply.headers[b"x-ratelimit-remaining"] == b"99"
    assert reply.headers[b"api-version"] == b"v1"


async def test_a_hint_is_no_response() -> None:
    """What is sent before a response's start neither begins nor ends it: a failure behind it is answered, and reported
    once."""
    events: list[Any] = []

    async def hinting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        raise RuntimeError("unexpected")

    reply = await ask(RequestContextMiddleware(ProblemDetailsMiddleware(hinting), observer=events.append))
    assert [message["type"] for message in reply.messages][1:] == ["http.response.start", "http.response.body"]
    assert [(event.status, event.response_bytes) for event in events] == [(500, len(reply.body))]
    alone = await ask(ProblemDetailsMiddleware(hinting))
    assert alone.messages[1]["status"] == 500


async def test_a_response_is_watched_by_whoever_is_innermost() -> None:
    """A layer that watches inside another one takes over what layers further in tell, and the outer one sees nothing of
    it twice."""
    reply = await ask(ProblemDetailsMiddleware(limited(RequestContextMiddleware(limited(App())))))
    names = [name for name, _ in reply.messages[0]["headers"]]
    assert names.count(b"x-ratelimit-reset") == 2
    assert names.count(b"x-request-id") == 1


async def test_a_request_leaves_nothing_to_the_collector() -> None:
    """Everything that a request held is free as soon as it is over: its scope and its exchange do not keep each
    other."""
    app = FastAPI()
    limits = RateLimitSettings(general="1000/second")
    Tailrace(app, Settings(database_url=None, valkey_url=None, rate_limit=limits))

    @app.get("/things")
    async def things() -> dict[str, str]:
        return {"text": "of some length " * 100}

    await ask(app, "/things")
    assert await left_by(app) == await left_by(App()) == 0


async def test_what_layers_have_told_of_a_start_leaves_nothing_to_the_collector() -> None:
    """A layer may add fields to the response by what it knows of the request, and keeps neither alive."""

    async def fence() -> bool:
        return True

    layers = RequestContextMiddleware(ReadYourWritesMiddleware(forgetful, tokens=lambda: None, fence=fence))
    await ask(layers, "/things")
    assert await left_by(layers) == 0


async def test_a_computed_answer_leaves_nothing_to_the_collector() -> None:
    """The request that the cache makes of a client's is free as soon as the application has answered it."""
    shared = RoutePolicy(ttl=60, shared=True)

    def resolve(scope: Any) -> Resolved:
        return Resolved(scope["path"], shared)

    layers = RequestContextMiddleware(ResponseCacheMiddleware(forgetful, cache=Cache(MemoryStore()), resolve=resolve))
    gc.collect()
    gc.disable()
    others = exchanges()
    try:
        await ask(layers, "/things")
        for _ in range(20):  # what is done behind the answer ends
            await asyncio.sleep(0)
        assert exchanges() <= others
    finally:
        gc.enable()


def exchanges() -> set[int]:
    """Those that there are: what other tests keep, and what only the collector would free."""
    return {id(each) for each in gc.get_objects() if type(each) is Exchange}


async def forgetful(scope: Any, receive: Any, send: Any) -> None:
    """An application that keeps nothing of a request."""
    await App()(scope, receive, send)


async def left_by(app: Any) -> int:
    """Objects that the collector finds after a request."""
    gc.collect()
    gc.disable()
    try:
        await ask(app, "/things", headers=[(b"accept-encoding", b"zstd")])
        return gc.collect()
    finally:
        gc.enable()


async def test_what_is_known_of_a_request_outlives_it() -> None:
    """A layer of somebody else's around all of them still finds the exchange, and what it knows, when they are done."""
    found = {}

    class Logging:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await RequestContextMiddleware(App())(scope, receive, send)
            found.update(id=scope[EXCHANGE].request_id, host=exchange_of(scope).scope["headers"][0])

    reply = await ask(Logging())
    assert found == {"id": reply.headers[b"x-request-id"].decode(), "host": (b"host", b"testserver")}
