"""Request context: an id, a place in the trace, a deadline, and one event when the request is over.

Touches: the clock and random bytes handed in, two context variables. The outermost layer.

- ``X-Request-ID`` is taken over when it is at most 128 safe characters, else made; it is on every response.
- ``traceparent`` is continued when it is exactly as specified, else a trace is begun when somebody asks for it.
- A client may say how long it will wait; the deadline is bounded and reaches the calls made on its behalf.
- ``X-Response-Time`` always, ``Server-Timing`` only for whom the settings allow.

**Source:** W3C Trace Context; W3C Server Timing section 3; nginx's 499 for "the client left".
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tailrace.asgi.exchange import EXCHANGE, Exchange, current_exchange, exchange_of
from tailrace.asgi.instruments import Record, instruments
from tailrace.asgi.response_fields import RequestIds, response_time
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.clock import Clock, SystemClock
from tailrace.events import Observer
from tailrace.resilience.deadline import deadline_within
from tailrace.settings import HttpSettings

__all__ = ["RequestContextMiddleware", "route_template"]

CLIENT_GONE = 499
"""The status in metrics and logs of a request whose client left before the response was complete."""

UNMATCHED = "{unmatched}"
"""The route label of everything that no route matched, so that strangers cannot make labels."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
TIMING_HEADER = b"tailrace-timing"

REMEMBERED = 4096
"""Most kinds of requests whose instrument is remembered."""

Labels: TypeAlias = tuple[str, str, int, str | None]


def route_template(exchange: Exchange) -> str | None:
    """The template of the route that the framework's router matched, as Starlette's routers leave it in the scope."""
    route: Any = exchange.scope.get("route")
    template = getattr(route, "path_format", None)
    return template if isinstance(template, str) else None


class RequestContextMiddleware:
    """Gives each request its context and reports its end.

    Args:
        app: the application.
        settings: deadline and timing.
        observer: counts requests, or receives ``RequestFinished``.
        clock: monotonic time.
        route_of: the template of the matched route, asked for once when the response is complete.
        ids: gives the ids.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: HttpSettings | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
        route_of: Callable[[Exchange], str | None] = route_template,
        ids: RequestIds | None = None,
    ) -> None:
        self.app = app
        self._settings = settings or HttpSettings()
        self._instruments = None if observer is None else instruments(observer)
        self._records: dict[Labels, Record] = {}
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._route_of = route_of
        self.ids = ids or RequestIds()
        self._deadline_header = self._settings.deadline_header.lower().encode("latin-1")
        self._always_timed = self._settings.server_timing
        token = self._settings.server_timing_token
        self._timing_token = None if token is None else token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = scope["type"] == "http"
        if not (http or scope["type"] == "websocket") or ((outer := scope.get(EXCHANGE)) and outer.begun):
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        headers = exchange.headers
        if not exchange.request_id:
            exchange.started = exchange.started or self._monotonic()
            exchange.request_id = self.ids.of(headers.get(b"x-request-id"))
        exchange.begun = True
        if self._always_timed or (TIMING_HEADER in headers and self._may_see_timing(headers[TIMING_HEADER])):
            exchange.phases = {}
        if http:
            receive, send = self._watched(exchange, receive, send)
        given = headers.get(self._deadline_header)
        patience = None if given is None else self._seconds_allowed(given)
        token = current_exchange.set(exchange)
        status = None
        try:
            if patience is None:
                await self.app(scope, receive, send)
            else:
                with deadline_within(patience, self._clock):
                    await self.app(scope, receive, send)
        except BaseException:
            status = 500
            raise
        finally:
            if http and not exchange.reported:
                self._report(exchange, CLIENT_GONE if exchange.disconnected else status or exchange.status or 500)
            current_exchange.reset(token)
            exchange.part()

    def _watched(self, exchange: Exchange, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """What the application receives and sends with, such that the exchange knows how far it is."""
        starting = exchange.starting = []

        async def receive_noting() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                exchange.disconnected = True
            return message

        async def send_body(message: Message) -> None:
            exchange.complete = exchange.status > 0 and not message.get("more_body", False)
            exchange.response_bytes += len(message.get("body", b""))
            try:
                await send(message)
            except OSError:  # how a server says that the client has left (ASGI 2.4)
                exchange.disconnected = True
                raise
            if exchange.complete and not exchange.reported:
                self._report(exchange, exchange.status)

        def send_watched(message: Message) -> Awaitable[None]:
            if message["type"] != "http.response.start":
                return send_body(message)
            exchange.status = message["status"]
            headers = [header for header in message.get("headers", ()) if header[0] != b"x-request-id"]
            for tell in reversed(starting):
                tell(headers)
            elapsed = self._monotonic() - exchange.started
            headers.append((b"x-request-id", exchange.request_id.encode("ascii")))
            headers.append((b"x-response-time", response_time(elapsed)))
            if exchange.phases is not None:
                headers.append((b"server-timing", server_timing(exchange.phases, elapsed)))
            return send({**message, "headers": headers})

        return receive_noting, send_watched

    def _report(self, exchange: Exchange, status: int) -> None:
        exchange.reported = True
        if self._instruments is None:
            return
        method = exchange.method if exchange.method in METHODS else "_OTHER"
        labels = (method, exchange.route or self._route_of(exchange) or UNMATCHED, status, exchange.cache)
        record = self._records.get(labels)
        if record is None:
            if len(self._records) >= REMEMBERED:
                self._records.clear()
            record = self._records[labels] = self._instruments.requests(*labels)
        record(self._monotonic() - exchange.started, exchange.response_bytes)

    def _may_see_timing(self, given: bytes) -> bool:
        return self._timing_token is not None and hmac.compare_digest(given, self._timing_token)

    def _seconds_allowed(self, value: bytes) -> float | None:
        """The client's patience in seconds, at most what the settings allow; None if it is not a plain number."""
        whole, _, fraction = value.strip().partition(b".")
        digits = whole + fraction
        if not digits.isdigit() or len(digits) > 12:
            return None
        return min(float(value), self._settings.max_deadline)


def server_timing(phases: dict[str, float], total: float) -> bytes:
    """The ``Server-Timing`` value: each phase and the total, in milliseconds.

    ``app`` is what no other phase explains. Phases that ran side by side can add up to more than the total; then
    ``app`` is 0.

    >>> server_timing({"db": 0.002}, 0.005)
    b'app;dur=3.000, db;dur=2.000, total;dur=5.000'
    """
    rest = max(0.0, total - sum(phases.values()))
    parts = [f"app;dur={rest * 1000:.3f}"]
    parts += [f"{name};dur={seconds * 1000:.3f}" for name, seconds in phases.items()]
    return ", ".join([*parts, f"total;dur={total * 1000:.3f}"]).encode("ascii")
