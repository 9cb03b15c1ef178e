"""The upstream client against real servers that misbehave, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
from contextlib import suppress
from typing import Any

import pytest
from tests.integration.upstream.origin import Exchange, Handler, Server, hang, serving
from tests.waiting import wait_until

from tailrace.clock import SystemClock
from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    SettingsError,
    UpstreamError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)
from tailrace.events import AttemptFailed, CircuitChanged, Event, UpstreamCalled
from tailrace.resilience import deadline_within
from tailrace.settings import UpstreamSettings
from tailrace.upstream import HttpTransport, UpstreamClient, propagated_headers

FAST = UpstreamSettings(backoff=0.01, max_backoff=0.02, attempt_timeout=5.0, retry_budget_reserve=1000)


async def fine(exchange: Exchange) -> None:
    await exchange.answer(200, json.dumps({"path": exchange.line.split(" ")[1]}).encode())


def failing_first(times: int, status: int = 503, *headers: str) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await (exchange.answer(status, b"no", *headers) if exchange.number <= times else fine(exchange))

    return handler


def client_of(server: Server, events: list[Event] | None = None, **changes: Any) -> UpstreamClient:
    settings = FAST.model_copy(update=changes)
    observer = None if events is None else events.append
    return UpstreamClient("svc", server.url, settings=settings, headers={"X-Key": "hunter2"}, observer=observer)


async def test_json_is_fetched_over_kept_connections() -> None:
    """A second call goes over the connection of the first, with path, query and headers as given."""
    async with serving(fine) as server, client_of(server) as client:
        assert await client.get_json("/a b/ü", params={"q": "x&y", "n": 2}) == {"path": "/a%20b/%C3%BC?q=x%26y&n=2"}
        await client.get_json("/2")
        assert server.connections == 1
        assert server.requests[0].headers["x-key"] == "hunter2"
        assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


async def test_passing_failures_are_retried() -> None:
    """Two 503 and then an answer: the caller sees the answer, the observer the failures."""
    events: list[Event] = []
    async with serving(failing_first(2)) as server, client_of(server, events) as client:
        await client.get_json("/")
    assert [event.reason for event in events if isinstance(event, AttemptFailed)] == ["upstream_unavailable"] * 2
    called = events[-1]
    assert isinstance(called, UpstreamCalled)
    assert (called.outcome, called.attempts) == ("ok", 3)


async def test_unsafe_requests_are_sent_once() -> None:
    """A POST that fails is not repeated; with an idempotency key it is."""
    async with serving(failing_first(1)) as server, client_of(server) as client:
        with pytest.raises(UpstreamUnavailableError):
            await client.request("POST", "/", body=b"x")
        assert len(server.requests) == 1
        server.requests.clear()
        await client.request("POST", "/", body=b"x", headers={"Idempotency-Key": "k"})
        assert [request.body for request in server.requests] == [b"x", b"x"]


async def test_retry_after_is_waited_for() -> None:
    """After 429 the next attempt comes no sooner than the service asked."""
    clock = SystemClock()
    async with serving(failing_first(1, 429, "retry-after: 1")) as server, client_of(server) as client:
        began = clock.monotonic()
        await client.get_json("/")
        assert clock.monotonic() - began >= 1.0


async def test_retry_after_beyond_the_time_is_not_waited_for() -> None:
    """A service that asks for an hour gets no second attempt from a caller with seconds."""
    async with serving(failing_first(9, 429, "retry-after: 3600")) as server, client_of(server) as client:
        with pytest.raises(UpstreamUnavailableError) as raised:
            await client.get_json("/")
        assert raised.value.retry_after == 3600
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404])
async def test_refusals_are_not_repeated_and_redirects_not_followed(status: int) -> None:
    """Another address in an answer is never called: the settings say where requests go."""
    async with (
        serving(fine) as elsewhere,
        serving(failing_first(9, status, f"location: {elsewhere.url}/secret")) as server,
        client_of(server) as client,
    ):
        with pytest.raises(UpstreamRejectedError) as raised:
            await client.get_json("/")
        assert raised.value.answered == status
        assert (len(server.requests), elsewhere.connections) == (1, 0)


async def test_a_hanging_service_is_given_up() -> None:
    """Each attempt has its time; the connection of one that ran out is closed, not kept."""
    async with serving(hang) as server, client_of(server, attempt_timeout=0.1, max_retries=1) as client:
        with pytest.raises(UpstreamTimeoutError):
            await client.get_json("/")
        await wait_until(lambda: server.open == 0)
        assert len(server.requests) == 2
        assert client.in_use == 0


async def test_a_body_that_drips_is_given_up() -> None:
    """The time of an attempt covers its whole answer: a byte now and then does not keep it alive."""

    async def drip(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while True:
            await exchange.send(b"x")
            await asyncio.sleep(0.01)

    async with serving(drip) as server, client_of(server, attempt_timeout=0.2, max_retries=0) as client:
        with pytest.raises(UpstreamTimeoutError):
            await client.get_json("/")
        await wait_until(lambda: server.open == 0)


async def test_an_answer_cut_off_is_no_answer() -> None:
    """A connection that breaks in the middle of the body is a passing failure, never a shorter answer."""

    async def cut(exchange: Exchange) -> None:
        if exchange.number > 1:
            await fine(exchange)
            return
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        raise ConnectionResetError

    async with serving(cut) as server, client_of(server) as client:
        assert await client.get_json("/x") == {"path": "/x"}


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", b"x" * 200_000, b"\r\n" * 9],
)
async def test_what_is_not_http_is_a_failure(garbage: bytes) -> None:
    """A service that speaks something else is unavailable, whatever it says."""

    async def babble(exchange: Exchange) -> None:
        await exchange.send(garbage)
        raise ConnectionResetError

    async with serving(babble) as server, client_of(server, max_retries=0) as client:
        with pytest.raises(UpstreamUnavailableError):
            await client.get_json("/")


async def test_nobody_there_is_a_failure() -> None:
    """A refused connection is retried and then reported, and says neither path nor header."""
    async with serving(fine) as server:
        pass
    async with client_of(server, max_retries=1) as client:
        with pytest.raises(UpstreamUnavailableError, match="svc: cannot connect"):
            await client.get_json("/")


async def test_a_connection_closed_while_idle_costs_no_retry() -> None:
    """What the server closed since the last call is replaced quietly, also when it closes just then."""

    async def once(exchange: Exchange) -> None:
        if server.connections == 2 and exchange.number == 2:
            raise ConnectionResetError  # the kept connection dies under the second request
        await fine(exchange)

    events: list[Event] = []
    async with serving(once) as server, client_of(server, events) as client:
        server.connections = 1
        await client.get_json("/1")
        await client.get_json("/2")
        assert not [event for event in events if isinstance(event, AttemptFailed)]
        assert len(server.requests) == 3


async def test_large_answers_are_refused() -> None:
    """Announced, sent without announcement, or hidden in compression: none is taken in."""
    bomb = gzip.compress(bytes(50_000_000))

    async def large(exchange: Exchange) -> None:
        if "announced" in exchange.line:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")
            await hang(exchange)
        elif "endless" in exchange.line:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                await exchange.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        else:
            await exchange.answer(200, bomb, "content-encoding: gzip")

    async with serving(large) as server, client_of(server, max_response_bytes=1_000_000) as client:
        for path in ("/announced", "/endless", "/bomb"):
            with pytest.raises(UpstreamError, match="more than 1000000 bytes"):
                await client.get_json(path)
        await wait_until(lambda: server.open <= 1)
        assert len(server.requests) == 3


async def test_compressed_answers_are_read() -> None:
    """gzip is asked for and understood."""

    async def zipped(exchange: Exchange) -> None:
        assert exchange.headers["accept-encoding"] == "gzip"
        await exchange.answer(200, gzip.compress(b'{"a": 1}'), "content-encoding: gzip")

    async with serving(zipped) as server, client_of(server) as client:
        assert await client.get_json("/") == {"a": 1}


async def test_the_breaker_opens_tries_and_closes_with_the_service() -> None:
    """An outage opens it within its first calls; then nothing is sent; after it, trials close it again."""
    down = True

    async def handler(exchange: Exchange) -> None:
        await (exchange.answer(503, b"") if down else fine(exchange))

    events: list[Event] = []
    changes = {"breaker_open": 0.2, "breaker_minimum_calls": 5, "max_retries": 0, "breaker_trials": 1}
    async with serving(handler) as server, client_of(server, events, **changes) as client:
        for n in range(5):
            with pytest.raises(UpstreamUnavailableError):
                await client.get_json(f"/{n}")
        sent = len(server.requests)
        with pytest.raises(CircuitOpenError) as raised:
            await client.get_json("/")
        assert 0 < (raised.value.retry_after or 0) <= 0.2
        assert len(server.requests) == sent
        down = False

        async def recovered() -> bool:
            try:
                await client.get_json("/")
            except CircuitOpenError:
                return False
            return True

        await wait_until(recovered)
        assert client.circuit == "closed"
    states = [event.state for event in events if isinstance(event, CircuitChanged)]
    assert states == ["closed", "open", "half_open", "closed"]


async def test_an_outage_is_noticed_within_one_batch() -> None:
    """Fifty calls at once into an outage: the breaker opens on their failures, and hardly any is repeated."""
    async with serving(failing_first(10_000)) as server, client_of(server, backoff=1.0, max_backoff=2.0) as client:
        outcomes = await asyncio.gather(*[client.get_json(f"/{n}") for n in range(50)], return_exceptions=True)
        assert all(isinstance(outcome, UpstreamError) for outcome in outcomes)
        assert client.circuit == "open"
        assert len(server.requests) <= 64


async def test_identical_gets_share_one_call() -> None:
    """Twenty callers, one request; what differs in query or headers is not shared."""
    gate = asyncio.Event()

    async def gated(exchange: Exchange) -> None:
        await gate.wait()
        await fine(exchange)

    async with serving(gated) as server, client_of(server) as client:
        same = [asyncio.create_task(client.get_json("/same")) for _ in range(20)]
        other = asyncio.create_task(client.get_json("/same", params={"q": 1}))
        mine = asyncio.create_task(client.request("GET", "/same", headers={"Authorization": "me"}))
        await wait_until(lambda: len(server.requests) == 3)
        gate.set()
        assert await asyncio.gather(*same) == [{"path": "/same"}] * 20
        await asyncio.gather(other, mine)
        assert len(server.requests) == 3


async def test_a_shared_call_lives_as_long_as_anyone_waits() -> None:
    """One of two callers leaves: the other is served. Both leave: the call ends, and its connection with it."""
    gate = asyncio.Event()

    async def gated(exchange: Exchange) -> None:
        await gate.wait()
        await fine(exchange)

    async with serving(gated) as server, client_of(server) as client:
        first, second = (asyncio.create_task(client.get_json("/same")) for _ in range(2))
        await wait_until(lambda: len(server.requests) == 1)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert await second == {"path": "/same"}
        gate.clear()
        both = [asyncio.create_task(client.get_json("/same")) for _ in range(2)]
        await wait_until(lambda: len(server.requests) == 2)
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        gate.set()
        await wait_until(lambda: server.open == 0)
        assert client.in_use == 0


async def test_a_short_deadline_does_not_cut_the_others_short() -> None:
    """Who has much more time than the call under way does not join it; who has less joins and leaves early."""
    clock = SystemClock()
    gate = asyncio.Event()

    async def gated(exchange: Exchange) -> None:
        await gate.wait()
        await fine(exchange)

    async def hurried(client: UpstreamClient) -> Any:
        with deadline_within(0.1, clock):
            return await client.get_json("/same")

    async with serving(gated) as server, client_of(server, max_retries=0) as client:
        short = asyncio.create_task(hurried(client))
        await wait_until(lambda: len(server.requests) == 1)
        patient = asyncio.create_task(client.get_json("/same"))
        await wait_until(lambda: len(server.requests) == 2)
        with pytest.raises(UpstreamTimeoutError):
            await short
        other = asyncio.create_task(client.get_json("/other"))
        await wait_until(lambda: len(server.requests) == 3)
        with deadline_within(0.05, clock), pytest.raises(UpstreamTimeoutError):
            await client.get_json("/other")
        gate.set()
        assert await patient == {"path": "/same"}
        assert await other == {"path": "/other"}
        assert len(server.requests) == 3


async def test_cancelled_calls_leave_nothing() -> None:
    """Fifty calls cancelled in the middle: no task, no slot and no connection is left."""
    before = asyncio.all_tasks()
    async with serving(hang) as server, client_of(server) as client:
        tasks = [asyncio.create_task(client.get_json(f"/{n}")) for n in range(50)]
        await wait_until(lambda: len(server.requests) == 50)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert client.in_use == 0
        await wait_until(lambda: server.open == 0)
    assert asyncio.all_tasks() == before


async def test_closing_ends_what_is_under_way() -> None:
    """After ``aclose`` no call goes on, new ones are refused, and closing again does no harm."""
    async with serving(hang) as server:
        client = client_of(server)
        task = asyncio.create_task(client.get_json("/"))
        await wait_until(lambda: len(server.requests) == 1)
        await client.aclose()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.aclose()
        with pytest.raises(UpstreamError, match="closed"):
            await client.get_json("/")


async def test_too_many_calls_are_refused() -> None:
    """Beyond the slots and the queue there is an error at once, not a pile of waiting calls."""
    changes = {"concurrency": 2, "queue": 1, "max_retries": 0}
    async with serving(hang) as server, client_of(server, **changes) as client:
        tasks = [asyncio.create_task(client.get_json(f"/{n}")) for n in range(3)]
        await wait_until(lambda: len(server.requests) == 2)
        with pytest.raises(BulkheadFullError):
            await client.get_json("/4")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_request_identity_is_passed_on_and_nothing_else() -> None:
    """Request id and trace context go along; a cookie never does, nor a value that could split headers."""
    token = propagated_headers.set(
        {"x-request-id": "abc", "traceparent": "00-1-2-03", "cookie": "session=1", "tracestate": "a\r\nx-evil: 1"}
    )
    try:
        async with serving(fine) as server:
            async with UpstreamClient("svc", server.url, settings=FAST, deadline_header="X-Time-Left-Ms") as client:
                with deadline_within(2.0, SystemClock()):
                    await client.get_json("/")
            headers = server.requests[0].headers
    finally:
        propagated_headers.reset(token)
    assert (headers["x-request-id"], headers["traceparent"]) == ("abc", "00-1-2-03")
    assert headers.keys().isdisjoint({"cookie", "tracestate", "x-evil"})
    assert 1000 < int(headers["x-time-left-ms"]) <= 2000


@pytest.mark.parametrize("header", ["a\r\nX-Evil: 1", "a\nb", "a\x00b"])
async def test_a_header_that_would_split_is_refused(header: str) -> None:
    """Header injection fails here, before anything is sent, and without repeating the value."""
    async with serving(fine) as server, client_of(server) as client:
        with pytest.raises(UpstreamError) as raised:
            await client.request("GET", "/", headers={"X-Name": header})
        assert "Evil" not in str(raised.value)
        assert server.requests == []


async def test_no_secret_appears_in_any_error() -> None:
    """Neither the key sent nor the query is in the message of any failure, nor in its shown chain of causes."""

    async def answers(exchange: Exchange) -> None:
        if "reset" in exchange.line:
            raise ConnectionResetError
        await (hang(exchange) if "hang" in exchange.line else exchange.answer(int(exchange.line[5:8]), b"no"))

    async with serving(answers) as server, client_of(server, attempt_timeout=0.05, max_retries=0) as client:
        for path in ("/500", "/403", "/reset", "/hang"):
            with pytest.raises(UpstreamError) as raised:
                await client.get_json(path, params={"token": "sesame"})
            chain: BaseException | None = raised.value
            while chain is not None:
                text = "".join(traceback.format_exception_only(chain))
                assert "hunter2" not in text
                assert "sesame" not in text
                chain = chain.__cause__ or chain.__context__


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:80", "http://", "http://user:sesame@host", "http://h?x=1", "http://h:99999", "http://["]
)
def test_addresses_that_cannot_be_used_are_refused(url: str) -> None:
    """A wrong ``base_url`` is said at once, without repeating the credentials it may hold."""
    with pytest.raises(SettingsError) as raised:
        HttpTransport("svc", url, keep=1, max_response_bytes=1)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize("path", ["http://elsewhere/", "//elsewhere/", "/../../x", "/@elsewhere", "/\\elsewhere"])
async def test_no_path_leads_to_another_host(path: str) -> None:
    """Whatever the path holds, the request goes to the configured host or nowhere."""
    async with serving(fine) as server, client_of(server) as client:
        try:
            await client.get_json(path)
        except ValueError:
            assert server.requests == []
        else:
            assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


async def test_an_answer_nobody_asked_for_is_not_the_next_one() -> None:
    """What a server sends on an idle connection, or behind an answer, is never handed to another call."""
    spoken = asyncio.Event()

    async def talkative(exchange: Exchange) -> None:
        poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
        if "behind" in exchange.line:
            await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}" + poison)
            return
        await fine(exchange)
        if "idle" in exchange.line:
            await asyncio.sleep(0)
            await exchange.send(poison)
            spoken.set()

    async with serving(talkative) as server, client_of(server) as client:
        assert await client.get_json("/behind") == {}
        assert await client.get_json("/idle") == {"path": "/idle"}
        await spoken.wait()
        await wait_until(lambda: server.open == 0)
        assert await client.get_json("/next") == {"path": "/next"}


async def test_a_head_request_has_no_body_to_wait_for() -> None:
    """The length in an answer to HEAD is that of another answer; the connection is kept."""

    async def headers_only(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")

    async with serving(headers_only) as server, client_of(server) as client:
        for _ in range(2):
            response = await client.request("HEAD", "/")
            assert (response.headers["content-length"], response.body) == ("1000", b"")
        assert server.connections == 1


async def test_an_early_refusal_of_a_large_body_is_heard() -> None:
    """A server that answers before it has read the body is understood, and the connection is not used again."""
    refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"
    gone = asyncio.Event()

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refused)
        with suppress(ConnectionError):
            await writer.drain()
            while await reader.read(65_536):
                pass
        writer.transport.abort()
        gone.set()

    listening = await asyncio.start_server(hasty, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        async with UpstreamClient("svc", url, settings=FAST) as client:
            with pytest.raises(UpstreamRejectedError) as raised:
                await client.request("POST", "/", body=bytes(20_000_000))
            assert raised.value.answered == 413
        await gone.wait()
