"""Hits in one step: what the layers together would answer from the cache, without entering them.

Touches: the cache's look-up, the clock. The layers cost a hit more than the look-up does, in calls alone, so the
plainest of all requests is answered here: a GET of a cached route, known again, without anything that a layer would
have to look at, whose answer this process holds. Everything else goes on to the layers as it came; they remain what
decides, and ``tests/property/asgi/test_hit_path.py`` holds the two to the same answers.

Only requests that the layers have answered before are known here, so whatever takes a path before the response cache
does (monitoring) keeps it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tailrace.asgi.exchange import EXCHANGE, Exchange
from tailrace.asgi.instruments import instruments
from tailrace.asgi.prepared import Prepared, PreparedRequests
from tailrace.asgi.read_your_writes import COOKIE
from tailrace.asgi.request_context import CLIENT_GONE, TIMING_HEADER
from tailrace.asgi.response_fields import RequestIds, response_time
from tailrace.asgi.route_limit import LimitPlan
from tailrace.asgi.route_policy import Resolved, RoutePolicy
from tailrace.asgi.sending import is_unchanged
from tailrace.asgi.stored_response import StoredHead
from tailrace.asgi.turns import Turns
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.asgi.uvicorn_writer import UvicornWriter
from tailrace.asgi.variants import Variants
from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.limits import Verdict

__all__ = ["HitPath"]

FOR_THE_LAYERS = frozenset(
    {
        b"cache-control",
        b"content-length",
        b"if-match",
        b"if-unmodified-since",
        b"range",
        b"tailrace-explain",
        b"tailrace-fresh",
        b"transfer-encoding",
        TIMING_HEADER,
    }
)
"""Request fields that a layer has to look at."""

LOOKED_AT = FOR_THE_LAYERS | {b"cookie", b"if-modified-since", b"if-none-match"}
"""Request fields without any of which nothing has to be looked at: those, a cookie that may be ours, conditions."""

ID, TIME = b"x-request-id: ", b"\r\nx-response-time: "

Found: TypeAlias = tuple[Prepared, StoredHead, bytes]
"""A hit: what is remembered of such requests, the head of the answer and its body."""


class HitPath:
    """Answers hits; gives everything else to ``app``.

    Args:
        app: the layers.
        resolve: the route of a request, as for the response cache.
        requests: what the response cache remembers of requests.
        variants: the response cache's.
        ids: gives request ids, as for the request context.
        observer: counts hits, or receives ``CacheLookedUp`` and ``RequestFinished``.
        clock: monotonic time.
        turns: when requests begin, be they hits or not.
        admit: what the rate limits say of a request, as ``RateLimitMiddleware.admit_now``.
        writer: writes answers past ``send``, where it can; None: all are sent.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        resolve: Callable[[Scope], Resolved | None],
        requests: PreparedRequests,
        variants: Variants,
        ids: RequestIds,
        observer: Observer,
        clock: Clock,
        turns: Turns | None = None,
        admit: Callable[[Exchange, Resolved], tuple[LimitPlan, Verdict] | bool] | None = None,
        writer: UvicornWriter | None = None,
    ) -> None:
        self.app = app
        self._turns = turns or Turns()
        self._admit = admit
        self._writer = writer
        self._resolve = resolve
        self._requests = requests
        self._variants = variants
        self._ids = ids
        self._instruments = instruments(observer)
        self._monotonic = clock.monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = self.answer(scope, send)
        if answered is not True and (answered is False or not await answered):
            await self.app(scope, receive, send)

    def answer(self, scope: Scope, send: Send) -> bool | Awaitable[bool]:
        """Answer the request if it is a plain hit.

        Returns:
            Whether it was, or what to wait for to know. Where it was not, what was found out is left in the scope.
        """
        if scope["type"] != "http" or EXCHANGE in scope:
            return False
        exchange = Exchange(scope)
        exchange.started = now = self._monotonic()
        return self._answer(exchange, send, now) if self._turns.take() else self._answer_in_turn(exchange, send)

    async def _answer_in_turn(self, exchange: Exchange, send: Send) -> bool:
        await self._turns.wait()
        answered = self._answer(exchange, send, self._monotonic())
        return answered if isinstance(answered, bool) else await answered

    def _answer(self, exchange: Exchange, send: Send, now: float) -> bool | Awaitable[bool]:
        headers = exchange.headers
        plain = LOOKED_AT.isdisjoint(headers)
        try:
            found = self._find(exchange, now) if exchange.method == "GET" and (plain or _is_for_hits(headers)) else None
        except Exception:
            found = None  # it goes wrong again where failures are answered
        if found is None:
            # Not for a hit: it would be a cycle, which only the collector could free.
            exchange.scope[EXCHANGE] = exchange
            return False
        prepared, head, body = found
        status = head.status
        if not plain and is_unchanged(headers, head, prepared.lookup.created_at + prepared.lookup.age):
            status, body = 304, b""
        request_id = self._ids.of(headers.get(b"x-request-id")).encode()
        request = None if self._writer is None else self._writer.request_of(send)
        if request is None:
            return self._send(send, exchange, prepared, status, self._fields(exchange, found, status, request_id), body)
        try:
            if not self._written(request, exchange, status, found, body, request_id):
                fields = self._fields(exchange, found, status, request_id)
                return self._send(send, exchange, prepared, status, fields, body)
        except OSError:  # how a server says that the client has left (ASGI 2.4)
            status = CLIENT_GONE
        except BaseException:
            self._record(exchange, prepared, 500, body)
            raise
        self._record(exchange, prepared, status, body)
        return True

    def _written(
        self, request: Any, exchange: Exchange, status: int, found: Found, body: bytes, request_id: bytes
    ) -> bool:
        """Whether the answer is on its way, by a server's own connection; if not, nothing was sent."""
        prepared, head, _ = found
        lines = head.lines(status)
        if not lines:
            return False
        length = b"content-length: %d\r\n" % len(body) if head.unfinished and status != 304 else b""
        time = response_time(self._monotonic() - exchange.started)
        fields = [lines, length, prepared.lines(), ID, request_id, TIME, time, b"\r\n"]
        if exchange.admission is not None:
            plan, verdict = exchange.admission
            fields.append(plan.lines(verdict))
        assert self._writer is not None
        return self._writer.write(request, status, fields, body)

    def _fields(self, exchange: Exchange, found: Found, status: int, request_id: bytes) -> list[Header]:
        """The same, for a message."""
        prepared, head, body = found
        fields = prepared.fields(head, prepared.lookup.age, prepared.lookup.ttl)
        if status != head.status:
            fields = [*head.not_modified, *fields[len(head.headers) :]]
        elif head.unfinished:
            own = len(head.headers)
            fields = [*fields[:own], (b"content-length", b"%d" % len(body)), *fields[own:]]
        time = response_time(self._monotonic() - exchange.started)
        if exchange.admission is None:
            return [*fields, (b"x-request-id", request_id), (b"x-response-time", time)]
        plan, verdict = exchange.admission
        return [*fields, (b"x-request-id", request_id), (b"x-response-time", time), *plan.fields(verdict)]

    async def _send(
        self, send: Send, exchange: Exchange, prepared: Prepared, status: int, fields: list[Header], body: bytes
    ) -> bool:
        """Answer by two messages."""
        try:
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})
        except OSError:
            status = CLIENT_GONE
        except BaseException:
            self._record(exchange, prepared, 500, body)
            raise
        self._record(exchange, prepared, status, body)
        return True

    def _record(self, exchange: Exchange, prepared: Prepared, status: int, body: bytes) -> None:
        record = prepared.recorders.get(status)
        if record is None:
            route, policy = prepared.resolved.template, prepared.lookup.policy.name
            record = prepared.recorders[status] = self._instruments.hits(route, policy, status)
        record(self._monotonic() - exchange.started, len(body))

    def _find(self, exchange: Exchange, now: float) -> Found | None:
        """What answers the request, if this process holds it and no layer has to look."""
        resolved = self._resolve(exchange.scope)
        if resolved is None:
            return None
        policy = resolved.policy
        if policy is None or resolved.identity_waits:
            return None
        if self._admit is not None:
            exchange.path_params = resolved.path_params
            said = self._admit(exchange, resolved)
            if said is False:
                return None
            if said is not True:
                exchange.admission = said
                if not said[1][0]:
                    return None
        return self._held(exchange, resolved, policy, now if self._requests.monotonic == self._monotonic else None)

    def _held(self, exchange: Exchange, resolved: Resolved, policy: RoutePolicy, now: float | None) -> Found | None:
        """The same of a request that is let in."""
        identity = None
        if policy.identity is not None:
            exchange.route = resolved.template
            exchange.path_params = resolved.path_params
            given = policy.identity(exchange)
            exchange.identified = (policy, given)
            if not isinstance(given, str):
                return None
            identity = given
        prepared = self._requests.known(exchange, resolved, identity)
        if prepared is None:
            return None
        data = prepared.lookup.peek(now)
        if data is None:
            exchange.missed = prepared
            return None
        head = prepared.head_found(data)
        if head is None or head.vary:
            return None
        accept = exchange.headers.get(b"accept-encoding")
        if head is prepared.sent_as_it_is and accept == prepared.to_who_accepts:
            return prepared, head, data[len(data) - head.length :]
        found = self._as_wanted(prepared, head, data, accept, now)
        if found is None:
            return None
        if found[0] is head and not head.unfinished:
            prepared.sent_as_it_is, prepared.to_who_accepts = head, accept
        return prepared, *found

    def _as_wanted(
        self, prepared: Prepared, head: StoredHead, data: bytes, accept: bytes | None, now: float | None
    ) -> tuple[StoredHead, bytes] | None:
        """Head and body in the coding that the client wants, None if that has yet to be made."""
        if head.unfinished:
            body = data[len(data) - head.length :]
            if prepared.finish is not None:
                body = prepared.finish(body, prepared.lookup.answer(data))
            return (head, body) if self._variants.leaves(head, body, accept) else None
        if head.coded is not None:
            found = self._variants.peek(head, data, accept, now)
            if found is None:
                return None
            head, data = found
        return head, data[len(data) - head.length :]


def _is_for_hits(headers: dict[bytes, bytes]) -> bool:
    """Whether no layer has to look at the request's fields."""
    return FOR_THE_LAYERS.isdisjoint(headers) and COOKIE not in headers.get(b"cookie", b"")
