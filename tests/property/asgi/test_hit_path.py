from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.asgi.driver import Reply, ask

from tailrace import Tailrace, cached, limited, tag
from tailrace.events import ConcurrencyMeasured, Event
from tailrace.settings import Settings
from tailrace.testing.clock import FakeClock

MEMORY = Settings(database_url=None, valkey_url=None)
OF_ONE_REQUEST = {b"x-request-id", b"x-response-time"}

FIELDS = [
    (b"x-user", b"1"),
    (b"x-user", b"2"),
    (b"x-user", b"raises"),
    (b"accept-language", b"de"),
    (b"accept-language", b"en"),
    (b"if-none-match", b"*"),
    (b"if-none-match", b'"other"'),
    (b"if-modified-since", b"Tue, 14 Nov 2023 22:13:20 GMT"),
    (b"if-match", b'"other"'),
    (b"cache-control", b"no-cache"),
    (b"cache-control", b"no-store"),
    (b"cache-control", b"max-age=1"),
    (b"cache-control", b"only-if-cached"),
    (b"content-length", b"0"),
    (b"content-length", b"3"),
    (b"cookie", b"a=b"),
    (b"cookie", b"tailrace-fresh=AAAA"),
    (b"range", b"bytes=0-1"),
    (b"accept-encoding", b"gzip"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-encoding", b"zstd;q=0.1, br;q=0"),
    (b"x-request-id", b"mine"),
    (b"x-request-id", b"not safe\x80"),
]

asked = st.tuples(
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"]),
    st.sampled_from(
        ["/limited", "/limited", "/own/1", "/own/2", "/shared", "/late", "/plain", "/none", "/varies", "/aged/1"]
    ),
    st.sampled_from([b"", b"a=1", b"b=2&a=1"]),
    st.lists(st.sampled_from(FIELDS), max_size=3),
    st.sampled_from([0.0, 0.4, 3.0, 31.0, 70.0]),
)
asked_again = st.builds(lambda request, times: [request] * times, asked, st.integers(1, 3))
"""Or else few requests are hits."""


def caller(exchange: Any) -> str | None:
    user = exchange.header("x-user")
    if user == "raises":
        raise RuntimeError("no such user")
    return None if user is None else f"{user} for {exchange.path_params.get('number')}"


async def late_caller(exchange: Any) -> str | None:
    return caller(exchange)


def service(clock: FakeClock) -> tuple[FastAPI, Tailrace, list[str]]:
    app, events = FastAPI(), []

    def told(event: Event) -> None:
        if not isinstance(event, ConcurrencyMeasured):  # of a moment, not of an answer
            events.append(repr(event))

    tailrace = Tailrace(app, MEMORY, clock=clock, observer=told)

    def content(request: Request) -> Response:
        headers = {"vary": "accept-language"} if request.url.path == "/varies" else {}
        body = f"{request.url} {request.headers.get('x-user')} {request.headers.get('accept-language')}"
        # One of the paths is answered at length, so that its coding is negotiated.
        body *= 20 if request.url.path == "/own/1" else 1
        return Response(body, headers=headers, media_type="text/plain")

    def declare(path: str, **policy: Any) -> None:
        app.get(path)(cached(ttl=60, stale_while_revalidate=5, jitter=0.0, **policy)(content_of(path)))

    def content_of(path: str) -> Any:
        async def endpoint(request: Request) -> Response:
            return content(request)

        return endpoint

    declare("/own/{number}", identity=caller, depends_on=lambda identity, path, query: [tag("t", "u", identity)])
    declare("/shared", shared=True, query=["a"])
    declare("/late", identity=late_caller)
    declare("/varies", shared=True)
    declare("/aged/{number}", identity=caller, finish=lambda body, answer: b"%s %d" % (body, answer.age))
    limits = limited("4/minute", by=caller)
    app.get("/limited")(limits(cached(ttl=60, shared=True, jitter=0.0)(content_of("/limited"))))
    app.get("/plain")(content_of("/plain"))
    return app, tailrace, events


def seen(reply: Reply) -> Any:
    headers = [header for header in reply.messages[0]["headers"] if header[0] not in OF_ONE_REQUEST]
    whole = reply.status == 200 and reply.body  # a HEAD names the coding of a body that it has not, a range is a part
    beginning = reply.content[:20] if whole else b""
    return reply.status, headers, reply.body.replace(reply.headers[b"x-request-id"], b"the id"), beginning


async def quiet() -> None:
    """Wait for what goes on behind an answer, or one service's refresh would go on during the other's request."""
    while behind := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(behind)


def only_layers(app: FastAPI, layers: Any) -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await layers({**scope, "app": app}, receive, send)

    return serve


Asked = tuple[str, str, bytes, list[tuple[bytes, bytes]], float]
HIT: Asked = ("GET", "/own/1", b"", [(b"x-user", b"1")], 0.4)
ENCODED: Asked = ("GET", "/own/1", b"", [(b"x-user", b"1"), (b"accept-encoding", b"br")], 0.0)
LIMITED: Asked = ("GET", "/limited", b"", [], 0.4)
UNCHANGED: Asked = ("GET", "/own/1", b"", [(b"x-user", b"1"), (b"if-none-match", b"*")], 0.0)
FINISHED: Asked = ("GET", "/aged/1", b"", [(b"x-user", b"1")], 31.0)
RANGE: Asked = ("GET", "/own/1", b"", [(b"x-user", b"1"), (b"accept-encoding", b"gzip"), (b"range", b"bytes=0-1")], 0.4)
HEAD: Asked = ("HEAD", "/own/1", b"", [(b"x-user", b"1"), (b"accept-encoding", b"gzip")], 31.0)


@settings(deadline=None, max_examples=60)
@example([HIT, HIT, UNCHANGED, HIT])
@example([HIT, ENCODED, ENCODED, HIT, ENCODED])
@example([ENCODED, HIT, HIT, ENCODED])
@example([LIMITED] * 7)
@example([RANGE, RANGE, ENCODED])
@example([FINISHED, FINISHED, FINISHED, LIMITED, FINISHED])
@example([HEAD, HEAD, HEAD, HIT])
@given(st.lists(asked_again, min_size=1, max_size=9).map(lambda groups: [each for group in groups for each in group]))
async def test_one_step_answers_as_the_layers_do(requests: list[Asked]) -> None:
    """Whatever is asked, in any order and at any time: a service that answers hits in one step sends the same status,
    fields and body, and tells its observer the same, as one whose every request goes through the layers."""
    clocks = FakeClock(), FakeClock()
    (_, short, told_short), (layered_app, layered, told_layered) = service(clocks[0]), service(clocks[1])
    without_body = [(method, path, query, headers) for method, path, query, headers, _ in requests]
    for (method, path, query, headers), (*_, later) in zip(without_body, requests, strict=True):
        changes: dict[str, Any] = {"method": method, "query_string": query, "headers": headers}
        # Until the framework has made its middleware there is nothing but the layers.
        through_layers = layered_app if layered._hits is None else only_layers(layered_app, layered._hits.app)
        replies = []
        for app in (short, through_layers):
            replies.append(seen(await ask(app, path, **changes)))
            await quiet()
        assert replies[0] == replies[1]
        for clock in clocks:
            clock.step(later)
    assert told_short == told_layered
