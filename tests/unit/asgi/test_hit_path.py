from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from tests.unit.asgi.driver import Reply, ask, http_scope

from tailrace import Tailrace, cached, tag
from tailrace.settings import HttpSettings, RateLimitSettings, Settings
from tailrace.testing.clock import FakeClock

MEMORY = Settings(database_url=None, valkey_url=None)
PATH = "/users/7"


class Layers:
    """Stands before the layers and counts who comes."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.entered = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.entered += 1
        await self.app(scope, receive, send)


async def served(settings: Settings = MEMORY, **policy: Any) -> tuple[Tailrace, Layers]:
    """A service that has answered one request to its cached route, and the count of those that reach its layers."""
    app = FastAPI()
    app.root_path = policy.pop("root_path", "")
    tailrace = Tailrace(app, settings)
    identity = policy.pop("identity", lambda exchange: exchange.path_params["user"])

    @app.get("/users/{user}")
    @cached(ttl=60, identity=identity, depends_on=lambda user, path, query: [tag("users", "id", user)], **policy)
    async def user(user: str) -> dict[str, str]:
        return {"user": user}

    assert (await ask(tailrace, PATH)).status == 200
    assert tailrace._hits is not None
    layers = tailrace._hits.app = Layers(tailrace._hits.app)
    return tailrace, layers


def is_hit(reply: Reply) -> bool:
    return reply.cache_status.startswith(b"tailrace; hit")


@pytest.mark.parametrize("entrance", ["tailrace", "application"])
@pytest.mark.parametrize("root_path", ["", "/api"])
async def test_a_plain_hit_enters_no_layer(entrance: str, root_path: str) -> None:
    """Whichever of the two is served, behind a proxy's prefix or not, a plain hit is answered before the layers."""
    tailrace, layers = await served(root_path=root_path)
    app = tailrace if entrance == "tailrace" else tailrace._app
    assert is_hit(await ask(app, PATH))
    assert layers.entered == 0


@pytest.mark.parametrize(
    "field",
    [
        (b"cache-control", b"no-cache"),
        (b"tailrace-fresh", b"x"),
        (b"cookie", b"a=b; tailrace-fresh-12345678=x"),
        (b"if-match", b'"x"'),
        (b"transfer-encoding", b"chunked"),
        (b"tailrace-timing", b"x"),
    ],
    ids=lambda field: field[0].decode(),
)
async def test_what_a_layer_has_to_look_at_reaches_it(field: tuple[bytes, bytes]) -> None:
    """A request with a field that some layer acts on is never answered past that layer; above all not one that shows a
    token of its own write."""
    tailrace, layers = await served()
    await ask(tailrace, PATH, headers=[field])
    assert layers.entered == 1


async def test_an_invalidated_answer_is_no_hit() -> None:
    """The stamps are looked at for every single hit: after a bump the very next request is computed anew."""
    tailrace, layers = await served()
    await tailrace.cache.invalidate([tag("users", "id", 7)])
    assert not is_hit(await ask(tailrace, PATH))
    assert layers.entered == 1
    assert is_hit(await ask(tailrace, PATH))


async def test_identity_is_asked_of_every_request_once() -> None:
    """Whose request it is, is found out for each request, hit or miss, exactly once, with its path parameters known."""
    asked = []

    def identity(exchange: Any) -> str | None:
        asked.append(exchange.path_params["user"])
        return exchange.header("x-user")

    tailrace, layers = await served(identity=identity)
    asked.clear()
    for user, calls in (("1", 1), ("1", 2), ("2", 3)):
        await ask(tailrace, PATH, headers=[(b"x-user", user.encode())])
        assert asked == ["7"] * calls
    assert layers.entered == 2, "the second was a hit"


async def test_failures_are_answered_by_the_layers() -> None:
    """An exception while looking for a hit is an exception of the request: it is answered in the service's shape."""
    raising = False

    def identity(exchange: Any) -> str:
        if raising:
            raise RuntimeError("secret")
        return "1"

    tailrace, _ = await served(identity=identity)
    raising = True
    reply = await ask(tailrace, PATH)
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert reply.headers[b"x-request-id"] in reply.body


async def test_a_client_that_left_is_counted_as_such() -> None:
    """When the server says that the client has left in the middle of a hit, the request counts as 499, quietly."""
    tailrace, _ = await served()

    async def send(message: Any) -> None:
        raise OSError

    async def receive() -> Any:
        raise AssertionError

    await tailrace(http_scope(PATH), receive, send)
    assert tailrace.metrics["http.server.request.duration"].series.get(("GET", "/users/{user}", 499))


async def test_hits_are_counted_as_the_layers_count_them() -> None:
    """Without an observer hits are recorded without events; every series has the labels and counts it would have."""
    watched, _ = await served()
    told: list[Any] = []
    app = FastAPI()
    other = Tailrace(app, MEMORY, observer=told.append)

    @app.get("/users/{user}")
    @cached(ttl=60, shared=True)
    async def user(user: str) -> dict[str, str]:
        return {"user": user}

    assert other._hits is None
    for _ in range(3):
        await ask(watched, PATH)
    for _ in range(4):
        await ask(other, PATH)
    assert told
    counts = [
        {(name, labels): sum(values[1:]) or values[0] for labels, values in tailrace.metrics[name].series.items()}
        for tailrace in (watched, other)
        for name in ("tailrace.http.response.bytes", "tailrace.response_cache.requests")
    ]
    durations = [
        {labels: sum(values[1:]) for labels, values in tailrace.metrics[name].series.items()}
        for tailrace in (watched, other)
        for name in ("http.server.request.duration", "tailrace.cache.lookup.duration")
    ]
    assert counts[:2] == counts[2:]
    assert durations[:2] == durations[2:]


async def test_server_timing_measures_every_response() -> None:
    """Where responses say where their time went, hits say it too."""
    settings = Settings(database_url=None, valkey_url=None, http=HttpSettings(server_timing=True))
    app = FastAPI()
    tailrace = Tailrace(app, settings)

    @app.get("/")
    @cached(ttl=60, shared=True)
    async def empty() -> dict[str, str]:
        return {}

    replies = [await ask(tailrace, "/") for _ in range(3)]
    assert is_hit(replies[2])
    assert all(b"server-timing" in reply.headers for reply in replies)


async def test_everything_else_is_the_applications() -> None:
    """Served in the application's place, Tailrace passes on its lifespan and its websockets."""
    app = FastAPI()
    tailrace = Tailrace(app, MEMORY)

    @app.websocket("/ws")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")
        await socket.close()

    incoming = [{"type": "websocket.connect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await tailrace({**http_scope("/ws"), "type": "websocket", "scheme": "ws", "subprotocols": []}, receive, send)
    assert [message.get("text") for message in sent][1] == "hello"

    incoming += [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent.clear()
    await tailrace({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize(("trusted", "allowed"), [("192.0.2.0/24", 6), ("", 3)])
async def test_hits_are_limited_by_the_same_address_as_everything_else(trusted: str, allowed: int) -> None:
    """Behind a trusted proxy each client has a bucket of its own, hits included; who is no proxy has one, whatever the
    request claims."""
    tailrace, _ = await served(
        Settings(
            database_url=None,
            valkey_url=None,
            http=HttpSettings(trusted_proxies=trusted),
            rate_limit=RateLimitSettings(general="4/hour"),
        )
    )
    statuses = [
        (await ask(tailrace, PATH, headers=[(b"x-forwarded-for", client)])).status
        for client in (b"203.0.113.1", b"203.0.113.2") * 3
    ]
    assert statuses.count(200) == allowed


@pytest.mark.parametrize("behind", [False, True])
async def test_a_hit_is_not_found_by_a_clock_that_is_not_the_caches(behind: bool) -> None:
    """The store's entry has ended, but the wall clock was set back: whatever clock the hit path has, it is no hit."""
    app, clock = FastAPI(), FakeClock()
    tailrace = Tailrace(app, MEMORY, clock=clock)

    @app.get(PATH)
    @cached(ttl=60, shared=True)
    async def answer() -> str:
        return "answer"

    await ask(tailrace, PATH)
    assert is_hit(await ask(tailrace, PATH))
    if behind:
        assert tailrace._hits is not None
        tailrace._hits._monotonic = FakeClock(monotonic=0.0).monotonic
    wall = clock.now()
    await clock.advance(10 * 24 * 3600)
    clock._now = wall
    assert not is_hit(await ask(tailrace, PATH))
