from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.asgi.driver import Reply, ask, http_scope
from tests.waiting import wait_until

from tailrace.asgi.sse import EventStream, ServerSentEvent
from tailrace.errors import OverloadedError, RequestError
from tailrace.events import Event, StreamEnded, StreamOpened

OPENING = b"retry: 2000\n"


class Source:
    """Events that come when the test says so, and what became of their source."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[ServerSentEvent | Exception | None] = asyncio.Queue()
        self.taken = 0
        self.ended: str | None = None

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        try:
            while (event := await self.waiting.get()) is not None:
                self.taken += 1
                if isinstance(event, Exception):
                    raise event
                yield event
            self.ended = "exhausted"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        except GeneratorExit:
            self.ended = "closed"
            raise

    def give(self, *events: ServerSentEvent | Exception | None) -> None:
        for event in events:
            self.waiting.put_nowait(event)


class Client:
    """One request whose client leaves, or does not read, when the test says so."""

    def __init__(self) -> None:
        self.reply = Reply()
        self.leaves = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.fails: OSError | None = None
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.fails is not None:
            raise self.fails
        await self.reads.wait()
        self.reply.messages.append(dict(message))
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.leaves.set()  # as servers do
            for _ in range(3):
                await asyncio.sleep(0)

    def ask(self, stream: EventStream) -> asyncio.Task[None]:
        return asyncio.create_task(stream(http_scope(), self.receive, self.send))


def outcome(seen: list[Event]) -> str:
    assert isinstance(seen[0], StreamOpened)
    [ended] = [event for event in seen if isinstance(event, StreamEnded)]
    return ended.outcome


async def test_events_go_out_as_they_come_and_say_that_nobody_may_hold_them() -> None:
    """Each event is sent when it is there; fields keep caches, compressors and nginx from holding it."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append, headers=[(b"x-own", b"1")]))
    source.give(ServerSentEvent("one", "chunk", "7"))
    await wait_until(lambda: client.reply.body == OPENING + b"id: 7\nevent: chunk\ndata: one\n\n")
    assert client.reply.status == 200
    assert client.reply.headers == {
        b"content-type": b"text/event-stream",
        b"cache-control": b"no-store, no-transform",
        b"x-accel-buffering": b"no",
        b"x-own": b"1",
    }
    source.give(None)
    await task
    assert client.reply.messages[-1]["more_body"] is False
    assert [message["more_body"] for message in client.reply.messages[1:]] == [True, True, False]
    assert (source.ended, outcome(seen)) == ("exhausted", "complete")
    ended = seen[-1]
    assert isinstance(ended, StreamEnded)
    assert ended.sent == 1
    assert ended.first is not None


async def test_a_client_that_leaves_stops_the_work() -> None:
    """The source is cancelled where it waits, without another event being asked for."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    source.give(ServerSentEvent("one"))
    await wait_until(lambda: b"one" in client.reply.body)
    client.leaves.set()
    await task
    assert (source.ended, outcome(seen)) == ("cancelled", "client_left")


async def test_a_client_that_leaves_while_it_is_sent_to_stops_the_work() -> None:
    """A source that waits for its event to be sent is closed."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    client.reads.clear()
    source.give(ServerSentEvent("one"))
    await wait_until(lambda: source.taken == 1)
    client.leaves.set()
    await task
    assert (source.ended, outcome(seen)) == ("closed", "client_left")


async def test_a_server_that_refuses_to_send_means_that_the_client_left() -> None:
    """An OSError of the server's is no failure of the source, which is closed without noise."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    client.fails = ConnectionResetError()
    source.give(ServerSentEvent("one"))
    await task
    assert (source.ended, outcome(seen)) == ("closed", "client_left")


async def test_a_comment_that_cannot_be_sent_means_that_the_client_left() -> None:
    """An idle stream notices by its keep-alive that nobody is there."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append, keep_alive=0.01))
    await wait_until(lambda: client.reply.body.count(b":\n") > 1)
    client.fails = BrokenPipeError()
    await task
    assert (source.ended, outcome(seen)) == ("cancelled", "client_left")


async def test_nothing_piles_up_for_a_slow_client() -> None:
    """While an event is not taken, the source is asked for no other."""
    source, client = Source(), Client()
    task = client.ask(EventStream(source.events()))
    await wait_until(lambda: client.reply.body == OPENING)
    client.reads.clear()
    source.give(*[ServerSentEvent(str(number)) for number in range(100)], None)
    await wait_until(lambda: source.taken == 1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.taken == 1
    client.reads.set()
    await task
    assert source.taken == 100
    assert client.reply.body.count(b"data: ") == 100


async def test_a_client_that_takes_nothing_is_given_up() -> None:
    """After the send timeout the work stops, although the connection stands."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append, send_timeout=0.01, keep_alive=1000.0))
    await wait_until(lambda: client.reply.body == OPENING)
    client.reads.clear()
    source.give(ServerSentEvent("one"))
    await task
    assert (source.ended, outcome(seen)) == ("closed", "too_slow")


async def test_silence_is_filled_with_comments() -> None:
    """While no event comes, comments do, which no client takes for an event; the source is not disturbed."""
    source, client = Source(), Client()
    task = client.ask(EventStream(source.events(), keep_alive=0.01, retry=None))
    await wait_until(lambda: client.reply.body.count(b":\n") > 2)
    source.give(ServerSentEvent("one"), None)
    await task
    assert client.reply.body.replace(b":\n", b"") == b"data: one\n\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("the password is secret"), ("internal_error", False)),
        (OverloadedError("pool of host db1"), ("overloaded", True)),
        (RequestError("what is this?", status=422, code="odd"), ("odd", False)),
    ],
)
async def test_a_source_that_fails_says_so_and_tells_no_secret(error: Exception, told: tuple[str, bool]) -> None:
    """The client gets an event with a code, the stream ends properly, and the exception goes on to who reports it."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    source.give(ServerSentEvent("one"), error)
    with pytest.raises(type(error)) as raised:
        await task
    assert raised.value is error
    _, data = client.reply.body.split(b"event: error\ndata: ")
    problem = json.loads(data)
    assert (problem["code"], problem["retryable"]) == told
    assert b"secret" not in data
    assert b"db1" not in data
    assert client.reply.messages[-1]["more_body"] is False
    assert outcome(seen) == "failed"


async def test_a_source_may_fail_as_a_connection_does() -> None:
    """An OSError of the source is a failure, not the client's leaving."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    source.give(ConnectionResetError("the upstream went away"))
    with pytest.raises(ConnectionResetError):
        await task
    assert b"event: error" in client.reply.body
    assert outcome(seen) == "failed"


async def test_a_failure_is_reported_although_nobody_is_left_to_be_told() -> None:
    """Whether the client left before it could be told, or the source failed as it was ended for the client's sake."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    client.fails = BrokenPipeError()
    source.give(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await task
    assert outcome(seen) == "failed"

    async def stubborn() -> AsyncIterator[ServerSentEvent]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None
        yield ServerSentEvent("never")

    client, seen = Client(), list[Event]()
    task = client.ask(EventStream(stubborn(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    client.leaves.set()
    with pytest.raises(ZeroDivisionError):
        await task
    assert outcome(seen) == "failed"
    assert client.reply.body == OPENING


async def test_a_source_that_will_not_end_is_not_waited_for() -> None:
    """One that makes an event of being cancelled is asked for no more, and closed."""
    closed = False

    async def deaf() -> AsyncIterator[ServerSentEvent]:
        nonlocal closed
        try:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    yield ServerSentEvent("still here")
        finally:
            closed = True

    client, seen = Client(), list[Event]()
    task = client.ask(EventStream(deaf(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    client.leaves.set()
    await task
    assert (closed, outcome(seen)) == (True, "client_left")


async def test_a_server_that_stops_ends_its_streams() -> None:
    """A response that is cancelled stops its work, and lets the cancellation through."""
    source, client, seen = Source(), Client(), list[Event]()
    task = client.ask(EventStream(source.events(), observer=seen.append))
    await wait_until(lambda: client.reply.body == OPENING)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (source.ended, outcome(seen)) == ("cancelled", "cut_off")
    assert len(asyncio.all_tasks()) == 1


async def test_head_begins_no_work() -> None:
    """HEAD gets the fields, and nothing is produced for it."""
    source = Source()
    reply = await ask(EventStream(source.events()), method="HEAD")
    assert reply.headers[b"content-type"] == b"text/event-stream"
    assert (reply.body, source.taken) == (b"", 0)


async def test_fields_that_are_given_stand_in_place_of_its_own() -> None:
    """Two fields of one name would contradict each other; a case of letters makes no other name."""
    source = Source()
    source.give(None)
    given = [(b"Cache-Control", b"no-cache"), (b"content-type", b"text/event-stream; charset=utf-8")]
    reply = await ask(EventStream(source.events(), headers=given))
    assert sorted(reply.messages[0]["headers"]) == [
        (b"cache-control", b"no-cache"),
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"x-accel-buffering", b"no"),
    ]


def test_no_other_media_type_is_named() -> None:
    """At any other, clients give up."""
    with pytest.raises(ValueError, match="text/plain"):
        EventStream(Source().events(), headers=[(b"Content-Type", b"text/plain")])


async def test_a_large_event_goes_out_in_pieces() -> None:
    """Each has the send timeout for itself, or a slow line could never take a large event; no comment comes between."""
    source, client = Source(), Client()
    task = client.ask(EventStream(source.events(), keep_alive=0.001, retry=None))
    await wait_until(lambda: b":\n" in client.reply.body)
    client.reads.clear()
    source.give(ServerSentEvent("x" * 300_000), None)
    await wait_until(lambda: source.taken == 1)
    client.reads.set()
    await task
    sent = [message["body"] for message in client.reply.messages[1:] if message["body"] != b":\n"]
    assert b"".join(sent) == b"data: " + b"x" * 300_000 + b"\n\n"
    assert max(len(piece) for piece in sent) == 65_536
    assert b"x:" not in client.reply.body


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_alive": 0.0},
        {"keep_alive": float("nan")},
        {"send_timeout": -1.0},
        {"send_timeout": float("inf")},
        {"retry": -1.0},
        {"retry": float("inf")},
    ],
)
def test_durations_are_checked(wrong: dict[str, float]) -> None:
    """A pause of nothing would send comments without end."""
    with pytest.raises(ValueError):
        EventStream(Source().events(), **wrong)  # type: ignore[arg-type]
