"""Calls to one other service, made to withstand its bad days. Touches: its transport, the clock and randomness given.

A call goes through, outside in: coalescing (identical GETs) -> total time -> retry -> bulkhead -> circuit breaker ->
time of the attempt -> transport. The breaker stands inside the retries: each attempt tells it of the service's health,
so that an outage opens it within milliseconds and not after the first call has used up its retries; and a pause
between two attempts holds no slot of the bulkhead.
"""

from __future__ import annotations

import random as _random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from tailrace.clock import Clock, SystemClock
from tailrace.core.backoff import Backoff
from tailrace.core.breaker import BreakerPolicy, CircuitState
from tailrace.events import Observer, UpstreamCalled
from tailrace.resilience.budget import Budget
from tailrace.resilience.bulkhead import Bulkhead
from tailrace.resilience.circuit_breaker import CircuitBreaker
from tailrace.resilience.deadline import limit
from tailrace.resilience.retry import Retry, passing
from tailrace.resilience.timeout import with_timeout
from tailrace.settings import UpstreamSettings
from tailrace.upstream.classify import IDEMPOTENT, classify, error_for, outcome_of, parse_retry_after, repeatable
from tailrace.upstream.coalescing import Coalescing
from tailrace.upstream.connection import connect
from tailrace.upstream.guard import OutboundGuard
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse
from tailrace.upstream.propagation import headers_to_pass_on
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
        self._transport = transport or HttpTransport(
            name,
            base_url,
            keep=settings.concurrency,
            max_response_bytes=settings.max_response_bytes,
            connect=connect if guard is None else guard.connect,
        )
        self._retry = _retry(name, settings, self._clock, random, observer)
        self._breaker = CircuitBreaker(name, _breaker_policy(settings), clock=self._clock, observer=observer)
        self._bulkhead = Bulkhead(
            name,
            concurrency=settings.concurrency,
            queue=settings.queue,
            queue_timeout=settings.queue_timeout,
            clock=self._clock,
            observer=observer,
        )
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

    async def aclose(self) -> None:
        """End what is under way and close the connections. Idempotent."""
        await self._coalescing.aclose()
        await self._transport.aclose()

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
        request = self._request
        safe = request.method in IDEMPOTENT or repeatable(
            request.method, {name.decode() for name, _ in request.headers}
        )
        retryable = self._worth_repeating if safe else _never
        return self._client._retry.call(self._attempt, retryable=retryable, deadline=self._deadline)

    def _worth_repeating(self, error: Exception) -> bool:
        return passing(error) and self._client._breaker.state != "open"  # else a pause would be spent for nothing

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
        client, request = self._client, self._request
        extra = headers_to_pass_on() if client._pass_on else []
        if client._deadline_header is not None:
            left = max(0, int((self._deadline - client._clock.monotonic()) * 1000))
            extra.append((client._deadline_header, b"%d" % left))
        if extra:
            request = OutgoingRequest(request.method, request.target, (*request.headers, *extra), request.body)
        response = await client._transport.send(request)
        if classify(response.status) != "ok":
            retry_after = parse_retry_after(response.headers.get("retry-after"), client._clock.now())
            raise error_for(client.name, response.status, retry_after, response.headers.get("location"))
        return response


def _pairs(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())


def _never(error: Exception) -> bool:
    return False


def _retry(
    name: str, settings: UpstreamSettings, clock: Clock, random: Callable[[], float], observer: Observer | None
) -> Retry:
    budget = Budget(
        ratio=settings.retry_budget_ratio,
        minimum_per_second=settings.retry_budget_per_second,
        reserve=settings.retry_budget_reserve,
        clock=clock,
    )
    backoff = Backoff(settings.backoff, max(settings.backoff, settings.max_backoff))
    return Retry(
        name,
        max_retries=settings.max_retries,
        backoff=backoff,
        budget=budget,
        clock=clock,
        random=random,
        observer=observer,
    )


def _breaker_policy(settings: UpstreamSettings) -> BreakerPolicy:
    return BreakerPolicy(
        window=settings.breaker_window,
        minimum_calls=settings.breaker_minimum_calls,
        failure_rate=settings.breaker_failures,
        consecutive=settings.breaker_consecutive,
        slow_call=settings.breaker_slow_call,
        slow_rate=settings.breaker_slow_calls,
        open_for=settings.breaker_open,
        trials=settings.breaker_trials,
    )
