from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.unit.asgi.driver import App, ask, http_scope

from tailrace.asgi import RequestContextMiddleware, current_exchange
from tailrace.asgi.request_context import UNMATCHED, server_timing
from tailrace.asgi.response_fields import RequestIds
from tailrace.asgi.trace import begin_trace, parse_traceparent
from tailrace.events import Event, RequestFinished
from tailrace.resilience.deadline import current_deadline
from tailrace.settings import HttpSettings


async def test_request_id_taken_over() -> None:
    """A client's id of at most 128 safe characters is used and sent back."""
    reply = await ask(RequestContextMiddleware(App()), headers=[(b"x-request-id", b"abc-123.z")])
    assert reply.headers[b"x-request-id"] == b"abc-123.z"


@pytest.mark.parametrize("given_id", [b"", b"a" * 129, b"a b", b"a\r\nset-cookie: x=1", b'"', b"\xff", b"<script>"])
async def test_request_id_not_taken_over(given_id: bytes) -> None:
    """An id that is too long or could mean something in a header, a log or a page is replaced."""
    reply = await ask(RequestContextMiddleware(App()), headers=[(b"x-request-id", given_id)])
    made = reply.headers[b"x-request-id"]
    assert made != given_id
    assert 12 <= len(made) <= 128


async def test_request_ids_differ() -> None:
    """Every request gets an id of its own, and two processes share none."""
    one, two = RequestContextMiddleware(App()), RequestContextMiddleware(App())
    ids = [(await ask(layer)).headers[b"x-request-id"] for layer in (one, one, two)]
    assert len(set(ids)) == 3
    assert ids[0].split(b"-")[0] != ids[2].split(b"-")[0]


def test_ids_of_a_process_go_on_being_different() -> None:
    """No id comes twice, also where the digits that are made ahead run out; each is a UUID greater than the last."""
    ids = RequestIds()
    given = [ids.of(None) for _ in range(3 * 4096)]
    assert sorted(set(given)) == given
    assert {UUID(each).version for each in given} == {8}


async def test_id_replaces_the_applications() -> None:
    """A response carries one request id."""
    reply = await ask(RequestContextMiddleware(App(headers=[(b"x-request-id", b"other")])))
    assert [value for name, value in reply.messages[0]["headers"] if name == b"x-request-id"] != [b"other"]
    assert sum(name == b"x-request-id" for name, _ in reply.messages[0]["headers"]) == 1


async def test_nested_layers_are_one() -> None:
    """An application mounted with a context of its own does not report a request twice."""
    events: list[Event] = []
    layer = RequestContextMiddleware(RequestContextMiddleware(App(), observer=events.append), observer=events.append)
    await ask(layer)
    assert len(events) == 1


async def test_event_at_the_end() -> None:
    """One event says method, route, status, duration and bytes; an unknown route is one label for all."""
    events: list[Any] = []
    await ask(RequestContextMiddleware(App(b"12345", 404), observer=events.append), "/never/seen")
    (event,) = events
    assert isinstance(event, RequestFinished)
    assert (event.method, event.route, event.status, event.response_bytes) == ("GET", UNMATCHED, 404, 5)
    assert event.duration >= 0


async def test_unknown_method_is_one_label() -> None:
    """A client cannot make labels with methods of its own."""
    events: list[Any] = []
    await ask(RequestContextMiddleware(App(), observer=events.append), method="HACK1")
    assert events[0].method == "_OTHER"


async def test_client_gone_is_499() -> None:
    """A request whose client left before the response was complete counts as 499."""
    events: list[Any] = []

    async def waits_then_gives_up(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        return None

    await RequestContextMiddleware(waits_then_gives_up, observer=events.append)(http_scope(), receive, send)
    assert events[0].status == 499


async def test_send_to_a_gone_client_is_499() -> None:
    """A server that says by OSError that the client left is understood (ASGI 2.4)."""
    events: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError

    with pytest.raises(OSError):
        await RequestContextMiddleware(App(), observer=events.append)(http_scope(), None, send)
    assert [event.status for event in events] == [499]


async def test_exception_is_reported_and_goes_on() -> None:
    """An application that raises is a 500 in the figures, once, and its exception is not swallowed."""
    events: list[Any] = []

    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await ask(RequestContextMiddleware(raises, observer=events.append))
    assert [event.status for event in events] == [500]


async def test_context_reaches_the_handler_and_ends() -> None:
    """The handler sees the request's context; it is gone afterwards."""
    seen: list[Any] = []

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        seen.append(current_exchange.get())
        await App()(scope, receive, send)

    reply = await ask(RequestContextMiddleware(handler))
    assert seen[0].request_id.encode() == reply.headers[b"x-request-id"]
    assert current_exchange.get() is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"2", 2.0), (b"0.25", 0.25), (b"1e9", None), (b"-1", None), (b"nan", None), (b"999999", 60.0), (b"", None)],
)
async def test_deadline_is_bounded(value: bytes, expected: float | None) -> None:
    """A client's patience becomes the deadline of what is done for it, never longer than the settings allow."""
    left: list[float | None] = []

    class StandingClock:
        def now(self) -> float:
            return 0.0

        def monotonic(self) -> float:
            return 1000.0

        async def sleep(self, seconds: float) -> None:
            raise AssertionError

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        deadline = current_deadline.get()
        left.append(None if deadline is None else deadline - 1000.0)
        await App()(scope, receive, send)

    await ask(RequestContextMiddleware(handler, clock=StandingClock()), headers=[(b"x-request-timeout", value)])
    assert left == [expected]
    assert current_deadline.get() is None


async def test_server_timing_only_for_whom_the_settings_allow() -> None:
    """Strangers do not learn where time goes."""
    closed = RequestContextMiddleware(App())
    token = RequestContextMiddleware(App(), settings=HttpSettings(server_timing_token=SecretStr("s3")))
    opened = RequestContextMiddleware(App(), settings=HttpSettings(server_timing=True))
    assert b"server-timing" not in (await ask(closed)).headers
    assert b"server-timing" not in (await ask(token, headers=[(b"tailrace-timing", b"wrong")])).headers
    assert b"server-timing" in (await ask(token, headers=[(b"tailrace-timing", b"s3")])).headers
    assert b"total;dur=" in (await ask(opened)).headers[b"server-timing"]


def test_phases_that_overlap_do_not_make_negative_time() -> None:
    """What ran side by side may add up to more than the whole; the rest is then nothing."""
    assert server_timing({"db": 2.0, "upstream": 2.0}, 3.0).startswith(b"app;dur=0.000, db;dur=2000.000")


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
    ],
)
def test_bad_traceparent_begins_a_trace(value: bytes | None) -> None:
    """A traceparent that is not exactly as specified is not continued (W3C Trace Context 3.2.2)."""
    assert parse_traceparent(value) is None
    trace = begin_trace(value, b"vendor=1", lambda size: b"\x01" * size)
    assert (trace.parent_id, trace.state) == (None, "")
    assert trace.traceparent == f"00-{'01' * 16}-{'01' * 8}-00"


def test_future_version_is_continued() -> None:
    """A later version is read as far as it is known (W3C Trace Context 3.2.2.5)."""
    assert parse_traceparent(b"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-ever") is not None


def test_trace_is_continued() -> None:
    """A valid traceparent keeps its trace id, its parent becomes ours, the span is new, the state is passed on."""
    value = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    trace = begin_trace(value, b"vendor=1", lambda size: b"\x02" * size)
    assert trace.traceparent == "00-4bf92f3577b34da6a3ce929d0e0e4736-0202020202020202-01"
    assert (trace.parent_id, trace.state) == ("00f067aa0ba902b7", "vendor=1")


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_no_bytes_crash_the_trace(parent: bytes, state: bytes) -> None:
    """Whatever a client sends, there is a trace, and nothing in it can end a header line."""
    trace = begin_trace(parent, state, lambda size: b"\x03" * size)
    assert "\r" not in trace.traceparent + trace.state
    assert "\n" not in trace.traceparent + trace.state
