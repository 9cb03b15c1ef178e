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
from collections.abc import Callable
from typing import Any

from tailrace.asgi.exchange import EXCHANGE, Exchange, current_exchange, exchange_of
from tailrace.asgi.response_fields import RequestIds, response_time
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.clock import Clock, SystemClock
from tailrace.events import Observer, RequestFinished
from tailrace.resilience.deadline import deadline_within
from tailrace.settings import HttpSettings

__all__ = ["RequestContextMiddleware", "route_template"]

CLIENT_GONE = 499
"""The status in metrics and logs of a request whose client left before the response was complete."""

UNMATCHED = "{unmatched}"
"""The route label of everything that no route matched, so that strangers cannot make labels."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})
TIMING_HEADER = b"tailrace-timing"


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
        observer: receives ``RequestFinished``.
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
        self._observer = observer
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._route_of = route_of
        self.ids = ids or RequestIds()
        self._deadline_header = self._settings.deadline_header.lower().encode("latin-1")
        token = self._settings.server_timing_token
        self._timing_token = None if token is None else token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or ((outer := scope.get(EXCHANGE)) and outer.begun):
            await self.app(scope, receive, send)
            return
        serve = self._serve if scope["type"] == "http" else self._serve_websocket
        exchange = exchange_of(scope)
        headers = exchange.headers
        if not exchange.request_id:
            exchange.started = exchange.started or self._monotonic()
            exchange.request_id = self.ids.of(headers.get(b"x-request-id"))
        exchange.begun = True
        if self._may_see_timing(headers):
            exchange.phases = {}
        token = current_exchange.set(exchange)
        try:
            if self._deadline_header in headers:
                seconds = self._seconds_allowed(headers[self._deadline_header])
                if seconds is not None:
                    with deadline_within(seconds, self._clock):
                        await serve(exchange, scope, receive, send)
                    return
            await serve(exchange, scope, receive, send)
        finally:
            current_exchange.reset(token)

    async def _serve_websocket(self, _: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def _serve(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        reported = False

        def report(status: int) -> None:
            nonlocal reported
            if not reported:
                reported = True
                self._report(exchange, status)

        async def receive_noting() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                exchange.disconnected = True
            return message

        async def send_finishing(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.start":
                exchange.status = message["status"]
                message = {**message, "headers": self._response_headers(exchange, message.get("headers", ()))}
                await send(message)
                return
            exchange.response_bytes += len(message.get("body", b""))
            try:
                await send(message)
            except OSError:  # how a server says that the client has left (ASGI 2.4)
                exchange.disconnected = True
                raise
            if kind != "http.response.trailers" and not message.get("more_body", False):
                report(exchange.status)

        try:
            await self.app(scope, receive_noting, send_finishing)
        except BaseException:
            exchange.status = 500
            raise
        finally:
            report(CLIENT_GONE if exchange.disconnected else exchange.status or 500)

    def _report(self, exchange: Exchange, status: int) -> None:
        if self._observer is not None:
            method = exchange.method
            self._observer(
                RequestFinished(
                    method if method in METHODS else "_OTHER",
                    exchange.route or self._route_of(exchange) or UNMATCHED,
                    status,
                    self._monotonic() - exchange.started,
                    exchange.response_bytes,
                    exchange.cache,
                )
            )

    def _may_see_timing(self, headers: dict[bytes, bytes]) -> bool:
        if self._settings.server_timing:
            return True
        given = headers.get(TIMING_HEADER)
        return given is not None and self._timing_token is not None and hmac.compare_digest(given, self._timing_token)

    def _seconds_allowed(self, value: bytes) -> float | None:
        """The client's patience in seconds, at most what the settings allow; None if it is not a plain number."""
        whole, _, fraction = value.strip().partition(b".")
        digits = whole + fraction
        if not digits.isdigit() or len(digits) > 12:
            return None
        return min(float(value), self._settings.max_deadline)

    def _response_headers(self, exchange: Exchange, given: Any) -> list[tuple[bytes, bytes]]:
        headers = list(given)
        for name, _ in headers:
            if name == b"x-request-id":
                headers = [header for header in headers if header[0] != b"x-request-id"]
                break
        elapsed = self._monotonic() - exchange.started
        headers.append((b"x-request-id", exchange.request_id.encode("ascii")))
        headers.append((b"x-response-time", response_time(elapsed)))
        if exchange.phases is not None:
            headers.append((b"server-timing", server_timing(exchange.phases, elapsed)))
        return headers


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
