"""Admission of requests, with a clock that stands still."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse, StreamingResponse
from tests.unit.asgi.driver import Reply, ask, http_scope

from tailrace import Tailrace
from tailrace.asgi.load_shedding import LoadSheddingMiddleware
from tailrace.asgi.problem_details import ProblemDetailsMiddleware
from tailrace.errors import OverloadedError, PoolTimeoutError
from tailrace.events import ConcurrencyMeasured, Event, RequestAdmitted, RequestShed
from tailrace.resilience.deadline import deadline_within
from tailrace.settings import Settings, SheddingSettings
from tailrace.testing.clock import FakeClock


class Gate:
    """An application that answers when it is told to, in the order asked."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self._open: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.began.append(scope["path"])
        await self._open.setdefault(scope["path"], asyncio.Event()).wait()
        await PlainTextResponse(scope["path"])(scope, receive, send)

    def finish(self, path: str) -> None:
        self._open.setdefault(path, asyncio.Event()).set()


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def shedding(
    app: Any, clock: FakeClock, seen: list[Event] | None = None, **settings: Any
) -> tuple[LoadSheddingMiddleware, ProblemDetailsMiddleware]:
    narrow = {"initial": 2, "minimum": 2, "maximum": 2, "max_waiting": 3, "max_wait": 5.0, **settings}
    observer: Callable[[Event], None] | None = None if seen is None else seen.append
    layer = LoadSheddingMiddleware(app, settings=SheddingSettings(**narrow), clock=clock, observer=observer)
    return layer, ProblemDetailsMiddleware(layer)


async def begin(app: Any, *paths: str) -> list[asyncio.Task[Reply]]:
    tasks = [asyncio.create_task(ask(app, path)) for path in paths]
    await turns()
    return tasks


async def test_waits_in_the_order_of_arrival() -> None:
    """Beyond the limit nobody is begun until a place is free, and then whoever came first."""
    gate, seen = Gate(), list[Event]()
    layer, app = shedding(gate, FakeClock(), seen)
    tasks = await begin(app, "/1", "/2", "/3", "/4")
    assert gate.began == ["/1", "/2"]
    assert (layer.admitted, layer.waiting) == (2, 2)
    gate.finish("/2")
    await turns()
    assert gate.began == ["/1", "/2", "/3"]
    for path in ("/1", "/3", "/4"):
        gate.finish(path)
    assert [(await task).status for task in tasks] == [200] * 4
    assert (layer.admitted, layer.waiting) == (0, 0)
    assert [type(event) for event in seen].count(RequestAdmitted) == 2


async def test_a_full_line_refuses_at_once() -> None:
    """Who finds the line full is told so, and when to come again; the application is not asked."""
    gate, seen = Gate(), list[Event]()
    _, app = shedding(gate, FakeClock(), seen)
    tasks = await begin(app, "/1", "/2", "/3", "/4", "/5")
    refused = await ask(app, "/6")
    assert refused.status == 503
    assert int(refused.headers[b"retry-after"]) >= 1
    assert b'"overloaded"' in refused.body
    assert RequestShed("line_full") in seen
    for number in range(1, 7):
        gate.finish(f"/{number}")
    assert [(await task).status for task in tasks] == [200] * 5
    assert "/6" not in gate.began


async def test_who_would_wait_too_long_is_refused_at_once() -> None:
    """The line's pace tells how long a place takes; beyond the patience nobody is made to wait in vain."""
    gate, clock, seen = Gate(), FakeClock(), list[Event]()
    _, app = shedding(gate, clock, seen, initial=1, minimum=1, maximum=1, max_waiting=100, max_wait=30.0)
    tasks = await begin(app, *(f"/{n}" for n in range(1, 61)))
    for number in range(1, 26):  # a place takes a second, and 34 wait
        clock.step(1.0)
        gate.finish(f"/{number}")
        await turns()
    refused = await ask(app, "/61")
    assert refused.status == 503
    assert 30 <= int(refused.headers[b"retry-after"]) <= 36
    assert seen.count(RequestShed("patience")) == 1
    for number in range(26, 61):
        gate.finish(f"/{number}")
    assert {(await task).status for task in tasks} == {200}


async def test_a_new_line_is_not_judged_by_the_last_one() -> None:
    """After a bad hour the first who has to wait waits: the old pace refuses nobody."""
    gate, clock = Gate(), FakeClock()
    _, app = shedding(gate, clock, initial=1, minimum=1, maximum=1, max_wait=5.0)
    first = await begin(app, "/1", "/2")
    clock.step(4.9)
    gate.finish("/1")
    gate.finish("/2")
    await asyncio.gather(*first)
    second = await begin(app, "/3", "/4")
    gate.finish("/3")
    gate.finish("/4")
    assert [(await task).status for task in second] == [200, 200]


async def test_patience_ends() -> None:
    """Who has waited for as long as the settings say is refused, and leaves no trace in the line."""
    gate, clock, seen = Gate(), FakeClock(), list[Event]()
    layer, app = shedding(gate, clock, seen)
    tasks = await begin(app, "/1", "/2", "/3")
    await clock.advance(5.1)
    assert (await tasks[2]).status == 503
    assert layer.waiting == 0
    assert RequestShed("patience") in seen
    gate.finish("/1")
    gate.finish("/2")
    assert [(await task).status for task in tasks[:2]] == [200, 200]
    assert layer.admitted == 0


async def test_the_clients_deadline_is_a_patience() -> None:
    """A client that waits for a second is not made to wait for five."""
    gate, clock, seen = Gate(), FakeClock(), list[Event]()
    _, app = shedding(gate, clock, seen)
    tasks = await begin(app, "/1", "/2")
    with deadline_within(1.0, clock):
        late = asyncio.create_task(ask(app, "/3"))
    await turns()
    await clock.advance(1.1)
    assert (await late).status == 503
    assert RequestShed("deadline") in seen
    gate.finish("/1")
    gate.finish("/2")
    await asyncio.gather(*tasks)


async def test_who_leaves_the_line_gives_nothing_away() -> None:
    """A cancelled request takes no place, whether it leaves before its turn or at that very moment."""
    gate = Gate()
    layer, app = shedding(gate, FakeClock())
    tasks = await begin(app, "/1", "/2", "/3", "/4")
    tasks[2].cancel()
    await turns()
    assert layer.waiting == 1
    gate.finish("/1")
    tasks[3].cancel()  # its place is on the way to it
    await asyncio.gather(*tasks[2:], return_exceptions=True)
    gate.finish("/2")
    await asyncio.gather(*tasks[:2])
    assert (layer.admitted, layer.waiting) == (0, 0)
    gate.finish("/5")
    assert (await ask(app, "/5")).status == 200


async def test_a_line_of_leavers_does_not_grow() -> None:
    """Clients that come and go while nothing moves leave nothing behind."""
    gate = Gate()
    layer, app = shedding(gate, FakeClock(), max_waiting=10)
    stuck = await begin(app, "/1", "/2")
    for _ in range(20):
        leavers = await begin(app, *["/x"] * 10)
        for task in leavers:
            task.cancel()
        await asyncio.gather(*leavers, return_exceptions=True)
    assert len(layer._line) <= 20
    gate.finish("/1")
    gate.finish("/2")
    await asyncio.gather(*stuck)


async def test_a_failing_application_gives_its_place_back() -> None:
    """An exception frees the place and goes on as it was."""

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("no")

    layer, _ = shedding(failing, FakeClock())
    for _ in range(5):
        with pytest.raises(ValueError, match="no"):
            await ask(layer)
    assert layer.admitted == 0


async def test_a_dry_pool_lowers_the_limit() -> None:
    """Failures for want of a connection say that fewer should be admitted."""

    async def dry(scope: Any, receive: Any, send: Any) -> None:
        raise PoolTimeoutError("no connection became free")

    clock = FakeClock()
    layer, app = shedding(dry, clock, initial=100, minimum=10, maximum=100)
    for _ in range(50):
        clock.step(0.1)
        assert (await ask(app)).status == 503
        await turns()
    assert layer.limit < 30


async def test_an_event_stream_holds_no_place() -> None:
    """Streams of events last for hours and work for moments: they do not keep others out."""
    go_on = asyncio.Event()

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await go_on.wait()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)

    layer, app = shedding(stream, FakeClock(), max_waiting=0)
    tasks = []
    for _ in range(20):
        tasks += await begin(app, "/")
        assert layer.admitted == 0
    go_on.set()
    assert {(await task).status for task in tasks} == {200}
    assert layer.admitted == 0


async def test_says_what_it_sees() -> None:
    """The limit and both counts are reported as they are looked at."""
    gate, clock, seen = Gate(), FakeClock(), list[Event]()
    _, app = shedding(gate, clock, seen)
    clock.step(1.0)
    tasks = await begin(app, "/1", "/2", "/3")
    assert ConcurrencyMeasured(2, 2, 1) in seen
    for number in range(1, 4):
        gate.finish(f"/{number}")
    await asyncio.gather(*tasks)


async def test_other_protocols_pass() -> None:
    """Websockets and the lifespan are not requests."""
    passed = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    layer, _ = shedding(app, FakeClock(), initial=1, minimum=1, maximum=1)
    for kind in ("websocket", "lifespan"):
        await layer({**http_scope(), "type": kind}, None, None)  # type: ignore[arg-type]
    assert passed == ["websocket", "lifespan"]


@pytest.mark.parametrize("enabled", [True, False])
async def test_in_tailrace(enabled: bool) -> None:
    """``Tailrace(app)`` sheds by default, but not what asks for the process's health; a setting turns it off."""
    app, gate = FastAPI(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        await gate.wait()
        return "done"

    narrow = SheddingSettings(enabled=enabled, initial=1, minimum=1, maximum=1, max_waiting=0)
    Tailrace(app, Settings(database_url=None, valkey_url=None, shedding=narrow))
    first, second = await begin(app, "/slow", "/slow")
    assert second.done() is enabled
    assert (await ask(app, "/livez")).status == 200
    gate.set()
    assert (await first).status == 200
    assert (await second).status == (503 if enabled else 200)


async def test_metrics_are_of_now() -> None:
    """After a burst nobody is worked on and nobody waits, and ``/metrics`` says so although no request came since."""
    app, gate = FastAPI(), asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        await gate.wait()
        return "done"

    narrow = SheddingSettings(initial=1, minimum=1, maximum=1)
    Tailrace(app, Settings(database_url=None, valkey_url=None, shedding=narrow))

    async def counted() -> tuple[str, ...]:
        said = (await ask(app, "/metrics", client=("127.0.0.1", 1))).body.decode()
        found = re.findall(r"^tailrace_shedding_(?:admitted|waiting) (\d+)$", said, re.MULTILINE)
        return tuple(found)

    tasks = await begin(app, "/slow", "/slow", "/slow")
    assert await counted() == ("1", "2")
    gate.set()
    await asyncio.gather(*tasks)
    assert await counted() == ("0", "0")


def test_error_says_it_may_be_tried_again() -> None:
    """The refusal is a passing one."""
    assert OverloadedError("x").retryable
    assert OverloadedError("x").status == 503
