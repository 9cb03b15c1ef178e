from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.unit.asgi.driver import App, Reply, ask, http_scope

from tailrace.asgi import Resolved, ResponseCacheMiddleware, RoutePolicy, by_path, rfc9457
from tailrace.cache import Answer, Cache
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

SHARED = RoutePolicy(ttl=60, shared=True, jitter=0, early_refresh=0)


def user(exchange: Any) -> str | None:
    return exchange.header("x-user") or None


PERSONAL = RoutePolicy(ttl=60, identity=user, jitter=0, early_refresh=0)


def layer(app: Any, policy: RoutePolicy = SHARED, **options: Any) -> ResponseCacheMiddleware:
    def resolve(scope: Any) -> Resolved:
        return routes.setdefault(scope["path"], Resolved("/{path}", policy))

    routes: dict[str, Resolved] = {}
    return ResponseCacheMiddleware(
        app, cache=options.pop("cache", None) or Cache(MemoryStore()), resolve=resolve, **options
    )


async def test_hit_does_not_enter_the_application() -> None:
    """The second request is answered from the store, with the same body, its age and what happened."""
    app = App(b"body", headers=[(b"content-type", b"text/plain")])
    cached = layer(app)
    first, second = await ask(cached), await ask(cached)
    assert (first.body, second.body, app.calls) == (b"body", b"body", 1)
    assert first.cache_status == b"tailrace; fwd=uri-miss; stored"
    assert second.cache_status.startswith(b"tailrace; hit; ttl=")
    assert second.headers[b"age"] == b"0"
    assert second.headers[b"content-type"] == b"text/plain"
    assert second.headers[b"content-length"] == b"4"


def test_a_route_must_say_whose_it_is() -> None:
    """No route is cached for everyone by forgetting to say."""
    with pytest.raises(ValueError, match="whose"):
        RoutePolicy(ttl=60)


async def test_identity_is_in_the_key() -> None:
    """Each identity has its own response; who has none goes past the cache."""
    app = App()
    cached = layer(app, PERSONAL)
    for name in (b"1", b"2", b"1", b"2"):
        await ask(cached, headers=[(b"x-user", name)])
    assert app.calls == 2
    for _ in range(2):
        assert (await ask(cached)).cache_status == b"tailrace; fwd=bypass"
    assert app.calls == 4


async def test_identity_may_be_a_coroutine() -> None:
    """Finding out who asks may need waiting."""

    async def slow_user(exchange: Any) -> str | None:
        await asyncio.sleep(0)
        return user(exchange)

    app = App()
    cached = layer(app, RoutePolicy(ttl=60, identity=slow_user))
    await ask(cached, headers=[(b"x-user", b"1")])
    await ask(cached, headers=[(b"x-user", b"1")])
    assert app.calls == 1


async def test_shared_with_identity_is_guarded() -> None:
    """A shared response behind a login goes to everyone who is logged in and to nobody else."""
    app = App()
    cached = layer(app, RoutePolicy(ttl=60, identity=user, shared=True))
    await ask(cached, headers=[(b"x-user", b"1")])
    assert (await ask(cached, headers=[(b"x-user", b"2")])).cache_status.startswith(b"tailrace; hit")
    assert (await ask(cached)).cache_status == b"tailrace; fwd=bypass"
    assert app.calls == 2


async def test_thousand_cold_requests_compute_once() -> None:
    """A cold key is computed once, however many ask."""
    gate = asyncio.Event()
    inner = App()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await inner(scope, receive, send)

    cached = layer(slow)
    asking = [asyncio.create_task(ask(cached)) for _ in range(1000)]
    await asyncio.sleep(0)
    gate.set()
    replies = await asyncio.gather(*asking)
    assert inner.calls == 1
    assert {reply.body for reply in replies} == {b"hello"}
    assert sum(b"collapsed" in reply.cache_status for reply in replies) == 999


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (500, []),
        (401, []),
        (302, []),
        (206, [(b"content-range", b"bytes 0-1/5")]),
        (200, [(b"set-cookie", b"session=secret")]),
        (200, [(b"cache-control", b"no-store")]),
        (200, [(b"cache-control", b"no-cache")]),
        (200, [(b"cache-control", b"private")]),
        (200, [(b"cache-control", b"max-age=0")]),
        (200, [(b"cache-control", b"max-age=nonsense")]),
        (200, [(b"expires", b"0")]),
        (200, [(b"vary", b"*")]),
    ],
)
async def test_not_stored(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    """RFC 9111 section 3: what may not be kept is passed on, whole, every time."""
    app = App(status=status, headers=headers)
    cached = layer(app)
    replies = [await ask(cached) for _ in range(3)]
    assert app.calls == 3
    assert {(reply.status, reply.body) for reply in replies} == {(status, b"hello")}
    for name, value in headers:
        assert replies[2].headers[name] == value


async def test_private_is_kept_for_its_owner() -> None:
    """``private`` forbids sharing, not keeping for the one it belongs to."""
    app = App(headers=[(b"cache-control", b"private")])
    cached = layer(app, PERSONAL)
    for _ in range(2):
        await ask(cached, headers=[(b"x-user", b"1")])
    assert app.calls == 1


async def test_set_cookie_reaches_only_its_client() -> None:
    """Of requests at the same time each gets the cookie made for it."""
    numbers = iter(range(100))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await App(headers=[(b"set-cookie", b"n=%d" % next(numbers))])(scope, receive, send)

    cached = layer(app)
    replies = await asyncio.gather(*[ask(cached) for _ in range(20)])
    assert len({reply.headers[b"set-cookie"] for reply in replies}) == 20


async def test_authorization_on_a_shared_route() -> None:
    """RFC 9111 3.5: the answer to a request with Authorization is shared only if the response says so."""
    closed, opened = App(), App(headers=[(b"cache-control", b"public, max-age=60")])
    for app, calls in ((closed, 2), (opened, 1)):
        cached = layer(app)
        for _ in range(2):
            await ask(cached, headers=[(b"authorization", b"Bearer x")])
        assert app.calls == calls


@pytest.mark.parametrize("directive", [b"no-store", b"no-cache", b"max-age=0", b"min-fresh=1000"])
async def test_request_directives(directive: bytes) -> None:
    """RFC 9111 5.2.1: a client that does not want a stored response gets a new one."""
    app = App()
    clock = FakeClock()
    cached = layer(app, cache=Cache(MemoryStore(clock=clock), clock=clock), clock=clock)
    await ask(cached)
    clock.step(1)  # an age of exactly 0 satisfies max-age=0
    reply = await ask(cached, headers=[(b"cache-control", directive)])
    assert (app.calls, reply.cache_status) == (2, b"tailrace; fwd=request")


async def test_request_directives_can_be_switched_off() -> None:
    """A route whose computation is dear need not obey no-cache."""
    app = App()
    cached = layer(app, RoutePolicy(ttl=60, shared=True, request_directives=False))
    await ask(cached)
    assert (await ask(cached, headers=[(b"cache-control", b"no-cache")])).cache_status.startswith(b"tailrace; hit")


async def test_only_if_cached() -> None:
    """RFC 9111 5.2.1.7: 504 rather than a computation."""
    app = App()
    cached = layer(app)
    asked = [(b"cache-control", b"only-if-cached")]
    assert (await ask(cached, headers=asked)).status == 504
    await ask(cached)
    assert (await ask(cached, headers=asked)).status == 200
    assert app.calls == 1


async def test_only_if_cached_fails_in_the_shape_of_other_failures() -> None:
    """Where failures have a shape, the 504 has it too; HEAD is told its length and no more."""
    cached = layer(App(), shape=rfc9457)
    asked = [(b"cache-control", b"only-if-cached")]
    reply = await ask(cached, headers=asked)
    assert (reply.status, json.loads(reply.body)["code"]) == (504, "cache_miss")
    head = await ask(cached, method="HEAD", headers=asked)
    assert (head.status, head.body) == (504, b"")
    assert head.headers[b"content-length"] == b"%d" % len(reply.body)


async def test_a_body_that_tells_its_age_is_finished_each_time_it_is_sent() -> None:
    """What is stored is one body; what is sent says how old it is, with its own length and without a validator."""

    def finish(body: bytes, answer: Answer) -> bytes:
        return b"%s, %s, %d seconds old" % (body, answer.status.encode(), answer.age)

    clock = FakeClock()
    cache = Cache(MemoryStore(clock=clock), clock=clock)
    policy = RoutePolicy(ttl=60, shared=True, jitter=0, early_refresh=0, finish=finish)
    app = App(b"body")
    cached = layer(app, policy, cache=cache, clock=clock)
    first = await ask(cached)
    clock.step(12)
    second, head = await ask(cached), await ask(cached, method="HEAD")
    assert (first.body, second.body) == (b"body, miss, 0 seconds old", b"body, hit, 12 seconds old")
    for reply in (first, second):
        assert reply.headers[b"content-length"] == b"%d" % len(reply.body)
        assert b"etag" not in reply.headers
    assert (head.body, head.headers[b"content-length"]) == (b"", b"%d" % len(second.body))
    assert app.calls == 1
    passed = await ask(cached, headers=[(b"cache-control", b"no-store")])
    assert passed.body == b"body"


async def test_malformed_cache_control_is_no_error() -> None:
    """Bad directives of clients and handlers never become a 500."""
    cached = layer(App(headers=[(b"cache-control", b'max-age="')]))
    assert (await ask(cached, headers=[(b"cache-control", b"max-age=x,,=,\xff")])).status == 200


async def test_etag_and_304() -> None:
    """A client that has the response already gets 304 with the stored validators, weak or strong, one or many."""
    app = App()
    cached = layer(app)
    etag = (await ask(cached)).headers[b"etag"]
    assert etag.startswith(b'"')
    for value in (etag, b"W/" + etag, b'"other", ' + etag, b"*"):
        reply = await ask(cached, headers=[(b"if-none-match", value)])
        assert (reply.status, reply.body, reply.headers[b"etag"]) == (304, b"", etag)
        assert b"content-length" not in reply.headers
    assert (await ask(cached, headers=[(b"if-none-match", b'"other"')])).status == 200
    assert app.calls == 1


async def test_condition_does_not_reach_what_is_stored() -> None:
    """A first request with a condition or a range stores the whole response, for the others."""
    app = App()
    cached = layer(app)
    await ask(cached, headers=[(b"if-none-match", b'"x"'), (b"range", b"bytes=0-1")])
    assert not {b"if-none-match", b"range"} & dict(app.scopes[0]["headers"]).keys()
    assert (await ask(cached)).body == b"hello"


async def test_last_modified_answers_304() -> None:
    """RFC 9110 13.1.3: If-Modified-Since counts where there is no If-None-Match."""
    app = App(headers=[(b"last-modified", b"Wed, 21 Oct 2015 07:28:00 GMT")])
    cached = layer(app)
    await ask(cached)
    for since, status in [
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 304),
        (b"Tue, 20 Oct 2015 07:28:00 GMT", 200),
        (b"x", 200),
    ]:
        assert (await ask(cached, headers=[(b"if-modified-since", since)])).status == status


async def test_etag_of_the_application_is_kept() -> None:
    """A validator that the handler made is its own to choose."""
    cached = layer(App(headers=[(b"etag", b'"v7"')]))
    await ask(cached)
    assert (await ask(cached, headers=[(b"if-none-match", b'"v7"')])).status == 304


async def test_head_from_get() -> None:
    """HEAD is answered from the stored GET, and a HEAD that comes first stores one (RFC 9110 9.3.2)."""
    app = App()
    cached = layer(app)
    first = await ask(cached, method="HEAD")
    second = await ask(cached, method="HEAD")
    third = await ask(cached)
    assert (first.body, second.body, third.body, app.calls) == (b"", b"", b"hello", 1)
    assert first.headers[b"content-length"] == second.headers[b"content-length"] == b"5"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_unsafe_methods_pass(method: str) -> None:
    """Only GET and HEAD concern the cache."""
    app = App()
    cached = layer(app)
    await ask(cached)
    assert b"cache-status" not in (await ask(cached, method=method)).headers
    assert app.calls == 2


async def test_get_with_body_passes() -> None:
    """A body is in no key, so a GET that has one is not answered from the store."""
    app = App()
    cached = layer(app)
    for _ in range(2):
        await ask(cached, headers=[(b"content-length", b"3")])
    assert app.calls == 2


async def test_vary_of_the_response() -> None:
    """RFC 9111 4.1: responses made for other values of what Vary names are not used; each value has its own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(scope)
        language = dict(scope["headers"]).get(b"accept-language", b"-")
        await App(language, headers=[(b"vary", b"Accept-Language")])(scope, receive, send)

    calls: list[Any] = []
    cached = layer(app)
    for _ in range(2):
        for language in (b"de", b"fr", b"en"):
            assert (await ask(cached, headers=[(b"accept-language", language)])).body == language
        assert (await ask(cached)).body == b"-"
    assert len(calls) == 5  # the first "de" is under the old key once


async def test_vary_learned_elsewhere() -> None:
    """A process that has not yet seen the Vary does not use what another stored."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        language = dict(scope["headers"]).get(b"accept-language", b"-")
        await App(language, headers=[(b"vary", b"accept-language")])(scope, receive, send)

    cache = Cache(MemoryStore())
    one, two = layer(app, cache=cache), layer(app, cache=cache)
    assert (await ask(one, headers=[(b"accept-language", b"de")])).body == b"de"
    assert (await ask(two, headers=[(b"accept-language", b"fr")])).body == b"fr"
    assert (await ask(two, headers=[(b"accept-language", b"de")])).body == b"de"


async def test_query_is_in_the_key_in_any_order() -> None:
    """Parameters count by name and value, not by their order; those a route does not name do not count."""
    app = App()
    cached = layer(app)
    for query in (b"a=1&b=2", b"b=2&a=1"):
        await ask(cached, query_string=query)
    assert app.calls == 1
    for query in (b"a=1&b=3", b"a=2&b=1", b"a=12&b=", b"a=1%26b=2", b"a=2&a=1", b"a=1&a=2"):
        await ask(cached, query_string=query)
    assert app.calls == 7
    named = layer(App(), RoutePolicy(ttl=60, shared=True, query=["days"]))
    await ask(named, query_string=b"days=7&utm=1")
    assert (await ask(named, query_string=b"utm=2&days=7")).cache_status.startswith(b"tailrace; hit")


async def test_host_scheme_and_root_are_in_the_key() -> None:
    """Links in a response are made from where it was asked for; a forged Host poisons nobody."""
    app = App()
    cached = layer(app)
    await ask(cached)
    await ask(cached, headers=[(b"host", b"evil")])
    await ask(cached, scheme="https")
    await ask(cached, root_path="/v2")
    assert app.calls == 4


async def test_depends_on_function() -> None:
    """Tags made from identity, path and query end the life of exactly what they name."""
    seen: list[Any] = []

    def tags(identity: str | None, path: Any, query: Any) -> list[str]:
        seen.append((identity, dict(query)))
        return [f"calls:user_id={identity}"]

    app = App()
    cache = Cache(MemoryStore())
    cached = layer(app, RoutePolicy(ttl=60, identity=user, depends_on=tags), cache=cache)
    for name in (b"1", b"2"):
        await ask(cached, headers=[(b"x-user", name)], query_string=b"d=7")
    await cache.invalidate(["calls:user_id=1"])
    for name in (b"1", b"2"):
        await ask(cached, headers=[(b"x-user", name)], query_string=b"d=7")
    assert app.calls == 3
    assert seen == [("1", {"d": "7"}), ("2", {"d": "7"})]


async def test_stream_is_not_held_back() -> None:
    """A response that comes in parts reaches its client part by part, and is not kept."""
    go_on = asyncio.Event()
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async def receive() -> Any:
        raise AssertionError

    cached = layer(app)
    asking = asyncio.create_task(cached(http_scope(), receive, arrived.put))
    start, first = await arrived.get(), await arrived.get()
    assert (start["status"], first["body"], first["more_body"]) == (200, b"one", True)
    go_on.set()
    await asking
    assert (await arrived.get())["body"] == b"two"


async def test_endless_stream_does_not_hold_others() -> None:
    """Others that ask while a stream runs get streams of their own."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"tick", "more_body": True})
            await asyncio.sleep(0)

    async def listen() -> None:
        ticks = 0

        async def send(message: Any) -> None:
            nonlocal ticks
            ticks += 1
            if ticks == 5:
                raise OSError

        with pytest.raises(OSError):
            await cached(http_scope(), asyncio.Event().wait, send)

    cached = layer(app)
    async with asyncio.timeout(10):
        await asyncio.gather(*[listen() for _ in range(5)])


async def test_stream_hears_that_its_client_left() -> None:
    """A stream on a cached route is cancelled with its client."""
    heard = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        return None

    await layer(app)(http_scope(), receive, send)
    assert heard.is_set()


async def test_too_large_is_passed_on() -> None:
    """A body above the bound is passed on and not kept, declared or not."""
    declared = App(b"x" * 100)
    cached = layer(declared, max_body=99)
    for _ in range(2):
        assert (await ask(cached)).body == b"x" * 100
    assert declared.calls == 2

    async def undeclared(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"y" * 100})

    assert (await ask(layer(undeclared, max_body=99))).body == b"y" * 100


async def test_declared_parts_are_kept() -> None:
    """A body of declared length that comes in parts is one response."""
    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append(1)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b"cd"})

    cached = layer(app)
    assert [(await ask(cached)).body for _ in range(2)] == [b"abcd", b"abcd"]
    assert len(calls) == 1


async def test_failure_is_not_kept_and_stale_serves() -> None:
    """RFC 5861: after the ttl a response is still served when the application fails, for as long as its route says."""
    app = App()
    clock = FakeClock()
    cache = Cache(MemoryStore(clock=clock), clock=clock)
    policy = RoutePolicy(ttl=10, shared=True, stale_if_error=60, jitter=0, early_refresh=0)
    cached = layer(app, policy, cache=cache, clock=clock)
    await ask(cached)
    app.status = 503
    clock.step(20)
    reply = await ask(cached)
    assert (reply.status, reply.cache_status) == (200, b"tailrace; hit; ttl=-10")
    clock.step(100)
    assert (await ask(cached)).status == 503


async def test_must_revalidate_is_never_stale() -> None:
    """RFC 9111 4.2.4: what forbids stale serving is not served stale, whatever the route says."""
    app = App(headers=[(b"cache-control", b"max-age=60, must-revalidate")])
    clock = FakeClock()
    cache = Cache(MemoryStore(clock=clock), clock=clock)
    policy = RoutePolicy(ttl=10, shared=True, stale_if_error=60, jitter=0, early_refresh=0)
    cached = layer(app, policy, cache=cache, clock=clock)
    await ask(cached)
    app.status = 503
    clock.step(20)
    assert (await ask(cached)).status == 503


async def test_max_age_shortens_the_ttl() -> None:
    """A response that says it lives shorter than its route lives shorter; one that says longer does not."""
    clock = FakeClock()
    for said, calls in ((b"max-age=5", 2), (b"max-age=500", 1)):
        app = App(headers=[(b"cache-control", said)])
        cache = Cache(MemoryStore(clock=clock), clock=clock)
        cached = layer(app, RoutePolicy(ttl=60, shared=True, jitter=0, early_refresh=0), cache=cache, clock=clock)
        await ask(cached)
        clock.step(6)
        await ask(cached)
        assert app.calls == calls


async def test_failure_is_shared_without_what_is_personal() -> None:
    """Those who waited get the failure too, but not the cookie that went with it; the maker gets all of it."""
    gate = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await App(b"down", 503, headers=[(b"set-cookie", b"a=b")])(scope, receive, send)

    cached = layer(app)
    asking = [asyncio.create_task(ask(cached)) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    replies = await asyncio.gather(*asking)
    assert {(reply.status, reply.body) for reply in replies} == {(503, b"down")}
    assert sum(b"set-cookie" in reply.headers for reply in replies) == 1


async def test_exception_reaches_everyone() -> None:
    """An application that raises does so for each who waited, and nothing is kept."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    cached = layer(app)
    results = await asyncio.gather(*[ask(cached) for _ in range(3)], return_exceptions=True)
    assert [type(result) for result in results] == [KeyError] * 3


async def test_leaving_client_does_not_stop_the_others() -> None:
    """The one that began the computation may leave; the others get their answer."""
    gate, inner = asyncio.Event(), App()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await gate.wait()
        await inner(scope, receive, send)

    cached = layer(app)
    first = asyncio.create_task(ask(cached))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(cached))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    reply: Reply = await second
    assert (reply.body, inner.calls) == (b"hello", 1)


async def test_one_requests_headers_do_not_stay() -> None:
    """What belongs to one request is not in what others get."""
    own = [(b"x-request-id", b"1"), (b"server-timing", b"db"), (b"tailrace-fresh", b"t"), (b"connection", b"close")]
    cached = layer(App(headers=own))
    await ask(cached)
    assert not {name for name, _ in own} & (await ask(cached)).headers.keys()


async def test_by_path_with_root_path() -> None:
    """Policies by path work below a mount."""
    app = App()
    cached = ResponseCacheMiddleware(app, cache=Cache(MemoryStore()), resolve=by_path({"/a": SHARED}))
    for _ in range(2):
        await ask(cached, "/mount/a", root_path="/mount")
    assert app.calls == 1
    await ask(cached, "/mount/b", root_path="/mount")
    assert app.calls == 2
