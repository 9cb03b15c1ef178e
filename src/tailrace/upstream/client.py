"""Calls to one other service, made to withstand its bad days. Touches: its transport, the clock and randomness given.

A call goes through, outside in: coalescing (identical GETs) -> total time -> retry -> bulkhead -> circuit breaker ->
time of the attempt -> transport. The breaker stands inside the retries: each attempt tells it of the service's health,
so that an outage opens it within milliseconds and not after the first call has used up its retries; and a pause
between two attempts holds no slot of the bulkhead.
"""

from __future__ import annotations

import random as _random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from tailrace.clock import Clock, SystemClock
from tailrace.core.breaker import CircuitState
from tailrace.core.retry_after import parse_retry_after
from tailrace.events import Observer, UpstreamCalled
from tailrace.resilience.deadline import limit
from tailrace.resilience.timeout import with_timeout
from tailrace.settings import UpstreamSettings
from tailrace.upstream.classify import classify, error_for, outcome_of
from tailrace.upstream.coalescing import Coalescing
from tailrace.upstream.connection import connect
from tailrace.upstream.guard import OutboundGuard
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse
from tailrace.upstream.policies import policies_of
from tailrace.upstream.pool import Pool
from tailrace.upstream.propagation import headers_to_pass_on
from tailrace.upstream.stream_connection import StreamConnection, connect_stream
from tailrace.upstream.streaming import ResponseStream, StreamCall
from tailrace.upstream.transport import HttpTransport, Transport

__all__ = ["UpstreamClient"]


class UpstreamClient:
    """A client of one service; use it as an async context manager, or call ``aclose``.

    Args:
        name: the service, as it appears in events, metrics and messages.
        base_url: ``http(s)://host[:port][/prefix]``; every path is put after it, so no path can reach another host.
        headers: sent with every request, credentials among them; never shown in an error.
        observer: told of calls, failed attempts, the breaker and the bulkhead.
        transport: in place of HTTP over sockets; closed with the client.
        random: gives evenly distributed numbers in 0..1, for the jitter of pauses.
        deadline_header: if named, carries the milliseconds that the caller has left.
        guard: for a ``base_url`` that a stranger has named: it is judged, and so is every address connected to; what
            is passed on to other services (``propagated_headers``) is kept to ourselves.

    Raises:
        SettingsError: ``base_url`` cannot be used.
        UrlRefusedError: the guard refuses it.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        settings: UpstreamSettings | None = None,
        headers: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        transport: Transport | None = None,
        random: Callable[[], float] = _random.random,
        deadline_header: str | None = None,
        guard: OutboundGuard | None = None,
    ) -> None:
        self.name = name
        self._settings = settings = settings or UpstreamSettings()
        self._clock = clock or SystemClock()
        self._observer = observer
        self._deadline_header = deadline_header.lower().encode("ascii") if deadline_header else None
        self._pass_on = guard is None
        if guard is not None:
            base_url = str(guard.check(base_url))
        self._prefix = urlsplit(base_url).path.rstrip("/")
        self._headers = {"accept-encoding": "gzip"} | {k.lower(): v for k, v in (headers or {}).items()}
        self._own_pairs = _pairs(self._headers)
        self._stream_pool: Pool[StreamConnection] | None = None
        if transport is None:
            self._stream_pool = Pool(
                name,
                base_url,
                connect_stream if guard is None else guard.connect_stream,
                keep=settings.concurrency,
            )
            transport = HttpTransport(
                name,
                base_url,
                keep=settings.concurrency,
                max_response_bytes=settings.max_response_bytes,
                connect=connect if guard is None else guard.connect,
            )
        self._transport = transport
        self._policies = policies = policies_of(name, settings, self._clock, random, observer)
        self._breaker, self._bulkhead = policies.breaker, policies.bulkhead
        self._coalescing: Coalescing[UpstreamResponse] = Coalescing()

    @property
    def circuit(self) -> CircuitState:
        """The breaker's state."""
        return self._breaker.state

    @property
    def refuses(self) -> bool:
        """True if the circuit would refuse a call just now: there is no use in asking."""
        return self._breaker.refuses

    @property
    def in_use(self) -> int:
        """Attempts under way."""
        return self._bulkhead.in_use

    async def get_json(
        self, path: str, *, params: Mapping[str, str | int | float] | None = None, timeout: float | None = None
    ) -> Any:
        """GET ``path`` and parse the answer as JSON; see ``request``.

        Raises:
            UpstreamUnavailableError: also if the answer is not JSON.
        """
        return (await self.request("GET", path, params=params, timeout=timeout)).json()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> UpstreamResponse:
        """Make one call; it returns only what was answered with 2xx.

        Args:
            method: only idempotent ones are retried, or those that carry an ``Idempotency-Key``.
            path: below ``base_url``, beginning with ``/``; quoted here, except for what is quoted already.
            query: in place of ``params``, for one that stands as it is: ASCII, without what cannot be sent.
            headers: in addition to, or in place of, the client's.
            timeout: seconds for this call in total; the settings' by default. The caller's deadline shortens it.

        Raises:
            UpstreamTimeoutError: no answer in time.
            UpstreamUnavailableError: the last attempt found nobody, half an answer, 408, 429 or 5xx.
            UpstreamRejectedError: any other answer than 2xx; UpstreamRedirectedError: one that says where to ask.
            UrlRefusedError: the guard refuses the host's addresses.
            CircuitOpenError: the breaker is open, and this took no time.
            BulkheadFullError: too many calls under way and waiting.
            UpstreamError: the answer is too large or coded in a way that was not asked for.
        """
        seconds = limit(self._settings.total_timeout if timeout is None else timeout, self._clock)
        assert seconds is not None
        began = self._clock.monotonic()
        deadline = began + seconds
        request = self._build(method.upper(), path, query or urlencode(params or ()), headers, body)
        call = _Call(self, request, deadline, began)
        if request.method != "GET" or body:
            return await call.run()
        key = (request.target, request.headers)
        until = began + seconds / 2  # with less than half of the own time to go, a call under way is not joined

        def shared() -> Awaitable[UpstreamResponse]:
            return self._coalescing.call(key, call.run, deadline=deadline, until=until)

        if not self._coalescing.flying(key):
            return await shared()  # ``run`` keeps to the time itself
        return await with_timeout(shared, seconds, clock=self._clock, what=self.name)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | float] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> AsyncIterator[ResponseStream]:
        """Make one call whose answer is handed on while it arrives; leaving the block closes it.

        What fails before the first byte of the body is tried again like any call; nothing is after that. The time of an
        attempt bounds the wait for that byte, and each silence after it. The slot of the bulkhead is held, and the
        breaker's judgement open, until the last byte; a reader who leaves earlier says nothing of the service's health.

        Args:
            method, path, params, headers: as ``request``.
            timeout: seconds to the last byte; the settings' ``total_timeout`` by default.

        Raises:
            As ``request``, also while it is read; ``UpstreamUnavailableError`` for a body that breaks off.
            ValueError: the client was given a transport, which carries no streams.
        """
        if self._stream_pool is None:
            raise ValueError("a client with a transport of its own has no streams")
        seconds = limit(self._settings.total_timeout if timeout is None else timeout, self._clock)
        assert seconds is not None
        deadline = self._clock.monotonic() + seconds
        plain = {"accept-encoding": "identity"} | dict(headers or {})
        request = self._build(method.upper(), path, urlencode(params or ()), plain, body)
        call = StreamCall(self._policies, self._stream_pool, lambda: self._outgoing(request, deadline), deadline)
        try:
            yield await call.open()
        finally:
            call.close()

    async def aclose(self) -> None:
        """End what is under way and close the connections. Idempotent."""
        await self._coalescing.aclose()
        await self._transport.aclose()
        if self._stream_pool is not None:
            await self._stream_pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _build(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str] | None,
        body: bytes,
    ) -> OutgoingRequest:
        if not path.startswith("/"):
            raise ValueError("a path begins with /")
        target = quote(self._prefix + path, safe="/%:@!$&'()*+,;=~")
        if query:
            target += "?" + query
        pairs = self._own_pairs
        if headers or body or method in ("POST", "PUT", "PATCH"):
            all_headers = self._headers | {name.lower(): value for name, value in (headers or {}).items()}
            if body or method in ("POST", "PUT", "PATCH"):
                all_headers["content-length"] = str(len(body))
            pairs = _pairs(all_headers)
        return OutgoingRequest(method, target.encode("ascii"), pairs, body)

    def _outgoing(self, request: OutgoingRequest, deadline: float) -> OutgoingRequest:
        """The request with what is said of the caller as it goes out."""
        extra = headers_to_pass_on() if self._pass_on else []
        if self._deadline_header is not None:
            left = max(0, int((deadline - self._clock.monotonic()) * 1000))
            extra.append((self._deadline_header, b"%d" % left))
        if not extra:
            return request
        return OutgoingRequest(request.method, request.target, (*request.headers, *extra), request.body)


class _Call:
    """One call on its way through the policies.

    Each step keeps to the deadline itself (the wait for a slot, the attempt, the pause before the next), which saves
    a timer around them all.
    """

    __slots__ = ("_attempts", "_began", "_client", "_deadline", "_request")

    def __init__(self, client: UpstreamClient, request: OutgoingRequest, deadline: float, began: float) -> None:
        self._client = client
        self._request = request
        self._deadline = deadline
        self._began = began
        self._attempts = 0

    async def run(self) -> UpstreamResponse:
        """All attempts, within the total time."""
        failure: BaseException | None = None
        try:
            return await self._with_retries()
        except BaseException as error:
            failure = error
            raise
        finally:
            client = self._client
            if client._observer is not None:
                duration = client._clock.monotonic() - self._began
                client._observer(UpstreamCalled(client.name, outcome_of(failure), duration, self._attempts))

    def _with_retries(self) -> Awaitable[UpstreamResponse]:
        policies = self._client._policies
        retryable = policies.retryable(self._request)
        return policies.retry.call(self._attempt, retryable=retryable, deadline=self._deadline)

    async def _attempt(self) -> UpstreamResponse:
        client = self._client
        client._breaker.check()  # before the bulkhead: an open circuit answers at once even with a full queue
        left = self._deadline - client._clock.monotonic()
        return await client._bulkhead.call(lambda: client._breaker.call(self._timed), wait=left)

    async def _timed(self) -> UpstreamResponse:
        self._attempts += 1
        client = self._client
        seconds = min(client._settings.attempt_timeout, self._deadline - client._clock.monotonic())
        return await with_timeout(self._send, seconds, clock=client._clock, what=client.name)

    async def _send(self) -> UpstreamResponse:
        client = self._client
        response = await client._transport.send(client._outgoing(self._request, self._deadline))
        if classify(response.status) != "ok":
            retry_after = parse_retry_after(response.headers.get("retry-after"), client._clock.now())
            raise error_for(client.name, response.status, retry_after, response.headers.get("location"))
        return response


def _pairs(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())
