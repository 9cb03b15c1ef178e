"""The layer alone, around any ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.unit.asgi.driver import App, Reply, ask, http_scope

from tailrace.asgi import (
    ClientAddresses,
    ErrorShape,
    Exchange,
    LimitDefaults,
    RateLimitMiddleware,
    RouteLimit,
    by_header,
    first_of,
    limits_by_path,
)
from tailrace.asgi.headers import field_lines
from tailrace.asgi.route_limit import LimitPlans
from tailrace.asgi.route_policy import Resolved
from tailrace.errors import StoreUnavailableError
from tailrace.events import Event, LimitDecided
from tailrace.limits import Claim, MemoryLimiter, ResilientLimiter, Verdict
from tailrace.testing.clock import FakeClock

GENERAL = RouteLimit("100/minute", burst=150, name="general")
EXPENSIVE = RouteLimit("20/minute", burst=30, name="expensive")


def layer(app: Any, clock: FakeClock | None = None, **options: Any) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, limiter=MemoryLimiter(clock=clock or FakeClock()), **options)


async def many(app: Any, count: int, path: str = "/", **changes: Any) -> list[Reply]:
    return [await ask(app, path, **changes) for _ in range(count)]


def user(exchange: Any) -> str | None:
    return exchange.header("x-user")


async def test_a_burst_then_the_rate() -> None:
    """150 at once, the next refused before the application sees it; after the time it was told, admitted."""
    app, clock = App(), FakeClock()
    limited = layer(app, clock, general=[GENERAL])
    replies = await many(limited, 151)
    assert [reply.status for reply in replies] == [200] * 150 + [429]
    assert app.calls == 150
    seconds = int(replies[-1].headers[b"retry-after"])
    clock.step(seconds)
    assert (await ask(limited)).status == 200


def test_before_the_layers_another_limiter_decides_from_when_it_is_given() -> None:
    """Whoever was known to the one before: nothing is taken of its buckets any more."""
    limited = layer(App(), general=[RouteLimit("2/minute", name="general")])
    resolved = Resolved("/", None)

    def allowed() -> list[bool]:
        said = [limited.admit_now(Exchange(http_scope("/")), resolved) for _ in range(3)]
        return [each[1].allowed for each in said if not isinstance(each, bool)]

    assert allowed() == [True, True, False]
    assert allowed() == [False] * 3
    limited.use(MemoryLimiter(clock=FakeClock()))
    assert allowed() == [True, True, False]


async def test_what_is_left_is_on_every_response() -> None:
    """In the fields of the draft and in those that everybody knows."""
    limited = layer(App(), general=[GENERAL])
    headers = (await many(limited, 2))[-1].headers
    assert headers[b"ratelimit-policy"] == b'"general";q=100;w=60;tailrace-burst=150'
    assert headers[b"ratelimit"] == b'"general";r=148;t=89'
    fields = [headers[b"x-ratelimit-" + name] for name in (b"limit", b"remaining", b"reset")]
    assert fields == [b"150", b"148", b"2"]
    assert b"retry-after" not in headers


async def test_a_refusal_is_a_problem() -> None:
    """429, the registered type, which limits refused, when to come again, and not to be kept."""
    limited = layer(App(), general=[RouteLimit("2/minute", name="general")])
    refused = (await many(limited, 3))[-1]
    assert (refused.status, refused.headers[b"content-type"]) == (429, b"application/problem+json")
    problem = json.loads(refused.body)
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["general"]
    assert (problem["title"], problem["code"], problem["retryable"]) == ("Quota Exceeded", "quota_exceeded", True)
    assert refused.headers[b"retry-after"] == b"30"
    assert refused.headers[b"ratelimit"] == b'"general";r=0;t=30'
    assert refused.headers[b"cache-control"] == b"no-store"


async def test_a_refusal_has_the_services_own_shape() -> None:
    """As every other failure."""
    shape = ErrorShape(lambda problem: {"error": problem.code, "details": problem.data})
    limited = layer(App(), general=[RouteLimit("1/minute", name="general")], shape=shape)
    refused = (await many(limited, 2))[-1]
    assert json.loads(refused.body) == {"error": "quota_exceeded", "details": {"violated-policies": ["general"]}}


async def test_the_retry_after_of_several_is_the_longest() -> None:
    """With whole seconds rounded up: a second earlier is refused, at it admitted."""
    clock = FakeClock()
    both = [RouteLimit("60/minute", burst=1, name="a"), RouteLimit("7/minute", burst=1, name="b")]
    limited = layer(App(), clock, general=both)
    refused = (await many(limited, 2))[-1]
    assert refused.headers[b"retry-after"] == b"9"
    assert json.loads(refused.body)["violated-policies"] == ["a", "b"]
    clock.step(8)
    assert (await ask(limited)).status == 429
    clock.step(1)
    assert (await ask(limited)).status == 200


async def test_a_route_has_its_own_limit_beside_the_general_one() -> None:
    """What the narrow one refuses costs nothing of the wide one; other routes have the wide one alone."""
    limited = layer(App(), general=[GENERAL], resolve=limits_by_path({"/analyse": [EXPENSIVE]}))
    replies = await many(limited, 40, "/analyse")
    assert [reply.status for reply in replies] == [200] * 30 + [429] * 10
    assert json.loads(replies[-1].body)["violated-policies"] == ["expensive"]
    assert replies[0].headers[b"ratelimit"] == b'"general";r=149;t=90, "expensive";r=29;t=87'
    assert [reply.status for reply in await many(limited, 121, "/other")] == [200] * 120 + [429]


async def test_routes_share_a_limit_by_its_name() -> None:
    """Three expensive routes have one bucket; limits without a name have one for each route."""
    own = RouteLimit("1/minute")
    limited = layer(App(), resolve=limits_by_path({"/a": [EXPENSIVE], "/b": [EXPENSIVE], "/c": [own], "/d": [own]}))
    assert [reply.status for reply in await many(limited, 30, "/a")] == [200] * 30
    assert (await ask(limited, "/b")).status == 429
    assert [(await ask(limited, path)).status for path in ("/c", "/d", "/c", "/d")] == [200, 200, 429, 429]


async def test_a_cost_is_taken_at_once() -> None:
    """A request of cost 10 takes ten units."""
    limited = layer(App(), resolve=limits_by_path({"/heavy": [RouteLimit("20/minute", burst=30, cost=10)]}))
    assert [reply.status for reply in await many(limited, 4, "/heavy")] == [200, 200, 200, 429]


async def test_a_route_may_replace_a_general_limit() -> None:
    """By a limit of the same name."""
    wider = RouteLimit("1000/minute", name="general")
    limited = layer(App(), general=[RouteLimit("1/minute", name="general")], resolve=limits_by_path({"/wide": [wider]}))
    assert {reply.status for reply in await many(limited, 100, "/wide")} == {200}


@pytest.mark.parametrize("by", [user, None])
async def test_callers_do_not_share(by: Callable[..., Any] | None) -> None:
    """Each user has a bucket; without an identity, each address has."""
    limited = layer(App(), general=[RouteLimit("1/minute", by=user, name="general")])
    one: dict[str, Any] = {"headers": [(b"x-user", b"1")]} if by else {"client": ("192.0.2.1", 1)}
    two: dict[str, Any] = {"headers": [(b"x-user", b"2")]} if by else {"client": ("192.0.2.2", 1)}
    assert [(await ask(limited, **who)).status for who in (one, one, two, two)] == [200, 429, 200, 429]


async def test_a_user_cannot_be_taken_for_an_address() -> None:
    """Whatever an identity looks like."""
    limited = layer(App(), general=[RouteLimit("1/minute", by=user, name="general")])
    assert (await ask(limited, client=("192.0.2.1", 1))).status == 200
    assert (await ask(limited, headers=[(b"x-user", b"ip:192.0.2.1")])).status == 200


async def test_the_first_identity_that_is_known_counts() -> None:
    """User, else API key, else address; the same text as user and as key are two callers."""
    by = first_of(user, by_header("x-api-key"))
    limited = layer(App(), general=[RouteLimit("1/minute", by=by, name="general")])
    callers: list[list[tuple[bytes, bytes]]] = [
        [(b"x-user", b"7"), (b"x-api-key", b"k")],
        [(b"x-api-key", b"7")],
        [(b"x-api-key", b"k")],
        [],
    ]
    assert [(await ask(limited, headers=headers)).status for headers in callers * 2] == [200] * 4 + [429] * 4


async def test_an_identity_may_take_waiting() -> None:
    """As for the response cache."""

    async def late(exchange: Any) -> str | None:
        await asyncio.sleep(0)
        return user(exchange)

    limited = layer(App(), general=[GENERAL], defaults=LimitDefaults(by=late))
    assert {reply.status for reply in await many(limited, 150, headers=[(b"x-user", b"1")])} == {200}
    assert (await ask(limited, headers=[(b"x-user", b"1")])).status == 429
    assert (await ask(limited, headers=[(b"x-user", b"2")])).status == 200


async def test_no_secret_is_in_a_key() -> None:
    """A caller's identity is in no bucket as it was given."""
    limiter = MemoryLimiter(clock=FakeClock())
    limited = RateLimitMiddleware(
        App(), limiter=limiter, general=[RouteLimit("9/s", by=by_header("x-api-key"), name="general")]
    )
    await ask(limited, headers=[(b"x-api-key", b"sk-very-secret")])
    kept = repr([list(buckets.arrivals) for buckets in limiter._buckets.values()])
    assert "secret" not in kept
    assert limiter.held == 1


async def test_a_spoofed_address_is_not_a_new_caller() -> None:
    """Neither without proxies nor behind one that adds what it sees."""
    direct = layer(App(), general=[RouteLimit("1/minute", name="general")])
    spoofs: list[list[tuple[bytes, bytes]]] = [
        [(field, f"{prefix}198.51.100.{n}".encode())]
        for n in range(5)
        for field, prefix in ((b"x-forwarded-for", ""), (b"forwarded", "for="), (b"x-real-ip", ""))
    ]
    statuses = [(await ask(direct, headers=headers)).status for headers in spoofs]
    assert statuses == [200] + [429] * 14
    behind = layer(App(), general=[RouteLimit("1/minute", name="general")], addresses=ClientAddresses("10.0.0.0/8"))
    added = [[(b"x-forwarded-for", f"198.51.100.{n}, 203.0.113.9".encode())] for n in range(5)]
    statuses = [(await ask(behind, headers=headers, client=("10.0.0.1", 1))).status for headers in added]
    assert statuses == [200] + [429] * 4


async def test_it_is_decided_before_the_body_is_read() -> None:
    """A refused request's body is never asked for."""

    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    limited = layer(App(), general=[RouteLimit("1/minute", name="general")])
    for _ in range(2):
        await limited(http_scope(method="POST"), receive, send)
    assert [message["status"] for message in sent if "status" in message] == [200, 429]


async def test_nothing_of_a_head_response_is_a_body() -> None:
    """A refusal of HEAD has the header fields alone."""
    limited = layer(App(), general=[RouteLimit("1/minute", name="general")])
    refused = (await many(limited, 2, method="HEAD"))[-1]
    assert (refused.status, refused.body) == (429, b"")


async def handshake(app: Any, *, extensions: dict[str, Any]) -> list[dict[str, Any]]:
    scope = {**http_scope("/ws"), "type": "websocket", "extensions": extensions}
    del scope["method"]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return sent


async def accepting(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def test_websocket_handshakes_are_limited() -> None:
    """Accepted ones tell what is left; a refused one is answered with 429, or closed where the server cannot."""
    limited = layer(accepting, general=[RouteLimit("1/minute", name="general")])
    able: dict[str, Any] = {"websocket.http.response": {}}
    [accepted] = await handshake(limited, extensions=able)
    assert dict(accepted["headers"])[b"ratelimit"] == b'"general";r=0;t=60'
    start, body = await handshake(limited, extensions=able)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    assert dict(start["headers"])[b"retry-after"] == b"60"
    assert json.loads(body["body"])["violated-policies"] == ["general"]
    [closed] = await handshake(limited, extensions={})
    assert closed["type"] == "websocket.close"


async def test_what_is_neither_request_nor_handshake_passes() -> None:
    """Lifespan is nobody's request."""
    app = App()
    limited = layer(app, general=[GENERAL])
    await limited({"type": "lifespan"}, _nothing, _nothing)
    assert app.calls == 1


async def _nothing(*_: Any) -> Any:
    return {"type": "lifespan.startup"}


async def test_without_limits_nothing_is_done() -> None:
    """An unlimited route's response has no field of a limit, and its scope nothing of ours."""
    app = App()
    reply = await ask(layer(app, resolve=limits_by_path({"/a": [EXPENSIVE]})), "/b")
    assert not [name for name in reply.headers if b"ratelimit" in name]
    assert "tailrace.exchange" not in app.scopes[0]


async def test_decisions_are_reported() -> None:
    """Each limit that admitted, and on a refusal those that refused; the names are those of the code."""
    events: list[Event] = []
    limited = RateLimitMiddleware(
        App(),
        limiter=MemoryLimiter(clock=FakeClock()),
        general=[GENERAL],
        resolve=limits_by_path({"/a": [RouteLimit("1/minute", name="own")]}),
        observer=events.append,
    )
    await many(limited, 2, "/a")
    assert events == [
        LimitDecided("general", True, "memory"),
        LimitDecided("own", True, "memory"),
        LimitDecided("own", False, "memory"),
    ]


class Down:
    """A limiter whose store is down."""

    held = evictions = 0

    def take_now(self, claims: Sequence[Claim]) -> None:
        return None

    def ready(self, claims: Sequence[Claim]) -> Any:
        return lambda: None

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        raise StoreUnavailableError("down")

    async def aclose(self) -> None:
        return None


def without_store(**options: Any) -> Any:
    down: Any = Down()
    local = MemoryLimiter(clock=FakeClock(), decided_by="share")
    return RateLimitMiddleware(App(), limiter=ResilientLimiter(down, down, local=local, processes=4), **options)


async def test_while_the_store_is_down_each_limit_does_as_it_says() -> None:
    """Open admits, closed refuses with 503, and a share admits its part of the burst."""
    opened = without_store(general=[RouteLimit("4/minute", name="general", on_outage="open")])
    assert {reply.status for reply in await many(opened, 20)} == {200}
    closed = without_store(general=[RouteLimit("4/minute", name="general", on_outage="closed")])
    refused = await ask(closed)
    assert (refused.status, refused.headers[b"retry-after"]) == (503, b"1")
    problem = json.loads(refused.body)
    assert problem["type"].endswith("#temporary-reduced-capacity")
    assert problem["code"] == "limits_unavailable"
    shared = without_store(general=[RouteLimit("100/minute", name="general", on_outage="share")])
    assert [reply.status for reply in await many(shared, 26)] == [200] * 25 + [429]


async def test_while_the_store_is_down_limits_that_differ_count_together() -> None:
    """One that is open leaves the decision to the one that shares, and says nothing of what is left."""
    both = [
        RouteLimit("100/minute", name="a", on_outage="open"),
        RouteLimit("8/minute", name="b", on_outage="share"),
    ]
    replies = await many(without_store(general=both), 3)
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert replies[0].headers[b"ratelimit"] == b'"b";r=1;t=30'
    assert json.loads(replies[-1].body)["violated-policies"] == ["b"]


@pytest.mark.parametrize(
    "options",
    [
        {"rate": "nonsense"},
        {"rate": "10/s", "cost": 11},
        {"rate": "10/s", "cost": 0},
        {"rate": "10/s", "burst": 5, "cost": 6},
        {"rate": "10/s", "name": 'a"b'},
        {"rate": "10/s", "name": "ä"},
        {"rate": "10/s", "name": "a\r\nb"},
    ],
)
def test_a_limit_that_cannot_work_is_refused_where_it_is_declared(options: dict[str, Any]) -> None:
    """Not at the first request."""
    with pytest.raises(ValueError):
        RouteLimit(**options)


def test_a_general_limit_needs_a_name() -> None:
    """There is no route to name it after."""
    with pytest.raises(ValueError, match="name"):
        RateLimitMiddleware(App(), general=[RouteLimit("1/s")])


@pytest.mark.parametrize("rates", [("2/minute",), ("3/hour", "1/second")], ids=["one", "several"])
def test_lines_say_what_fields_say(rates: tuple[str, ...]) -> None:
    """A hit that is written at once has the fields of every other response: admitted, refused, or not known."""
    limits = [RouteLimit(rate, name=f"{number} 100%") for number, rate in enumerate(rates)]
    plan = LimitPlans(limits).of(None)
    assert plan is not None
    limiter, claims = MemoryLimiter(), [planned.claim_of("192.0.2.7") for planned in plan.limits]
    verdicts = [limiter.take_now(claims) for _ in range(4)]
    verdicts.append(Verdict(True, (None,) * len(claims), "open"))
    assert {verdict.allowed for verdict in verdicts} == {True, False}
    for verdict in verdicts:
        assert plan.lines(verdict) == field_lines(plan.fields(verdict))
