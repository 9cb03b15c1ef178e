"""One request and its response, as all layers see it. Touches: one context variable.

The outermost layer makes it and keeps it in the scope; every other layer finds it there. A layer that is used alone
makes its own. So headers are read once, and the caller, the route and the timings have one place.
"""

from __future__ import annotations

from os import urandom
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from tailrace.asgi.headers import read_headers
from tailrace.asgi.trace import TraceContext, begin_trace
from tailrace.asgi.types import Header, Message, Scope, Send
from tailrace.context import current_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextvars import ContextVar

    from tailrace.asgi.route_limit import LimitPlan
    from tailrace.asgi.route_policy import RoutePolicy
    from tailrace.limits import Verdict

__all__ = ["EXCHANGE", "Exchange", "current_exchange", "exchange_of", "quoted_path"]

EXCHANGE = "tailrace.exchange"
"""The key under which the scope holds the exchange."""

NO_PARAMS: Mapping[str, Any] = MappingProxyType({})

STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""Messages that have header fields."""


class Exchange:
    """What is known of one request. Made per request; never shared between requests.

    Attributes:
        headers: of the request, by lower-case name, read once.
        request_id: "" until the request context has given one.
        begun: the request context has been entered.
        reported: its end has been.
        started: monotonic time of arrival.
        path: as the application is asked for it, with ``root_path``.
        path_params: of the matched route; empty until a route is known.
        route: template of the matched route, None until known. Bounded in number, so fit for a metric label.
        identity: whose request it is, if a layer has found out; never a credential.
        cache: what the response cache did with it, None when it was not asked.
        error: the exception that made the response, for the layers that report it.
        phases: seconds spent by phase, None when nobody measures.
        identified: what the identity function of a policy gave, and which policy's; see ``take_identified``.
        version: of the API that the request means, if a layer has found out.
        key_part: what else the response depends on, found out by a layer and part of the cache's key. None before the
            layers, so a request that has one is never answered there.
        missed: for what the cache was asked a moment ago and had nothing.
        encoded_outside: a layer further out encodes the response, so that none further in does.
        kept_by_policy: the response is kept, or not, as its route's policy says, so no other cache may keep it.
        admission: the limits that were asked before the layers, and what they said.
        status, complete: of the response, as far as it has gone through a layer that watches; see ``watching``.
        starting: what is told of the response's start by the innermost layer that watches; None: there is none.
    """

    # Slots, all of them filled at once: a default of the class costs more each time it is read than a slot ever does.
    __slots__ = (
        "_trace",
        "admission",
        "begun",
        "cache",
        "complete",
        "disconnected",
        "encoded_outside",
        "error",
        "headers",
        "identified",
        "identity",
        "kept_by_policy",
        "key_part",
        "method",
        "missed",
        "path",
        "path_params",
        "phases",
        "reported",
        "request_id",
        "response_bytes",
        "root_path",
        "route",
        "scope",
        "started",
        "starting",
        "status",
        "version",
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "")
        # A router changes the scope's, so they are read at once.
        self.path: str = scope.get("path", "")
        self.root_path: str = scope.get("root_path", "")
        self.headers = read_headers(scope.get("headers", ()))
        self.request_id = ""
        self.begun = self.reported = self.disconnected = self.complete = False
        self.encoded_outside = self.kept_by_policy = False
        self.started = 0.0
        self.status = self.response_bytes = 0
        self.path_params: Mapping[str, Any] = NO_PARAMS
        self.route: str | None = None
        self.identity: str | None = None
        self.cache: str | None = None
        self.version: str | None = None
        self.key_part: str | None = None
        self.error: BaseException | None = None
        self.phases: dict[str, float] | None = None
        self.starting: list[Callable[[list[Header]], None]] | None = None
        self.identified: tuple[object, Any] | None = None
        self.missed: object = None
        self.admission: tuple[LimitPlan, Verdict] | None = None
        self._trace: TraceContext | None = None

    def header(self, name: str) -> str | None:
        """One header field of the request, None when absent. ``name`` in any case."""
        value = self.headers.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def take_identified(self, policy: RoutePolicy) -> str | Awaitable[str | None] | None:
        """Whose request it is, as the policy says. A layer outside may have asked already; it is not asked twice."""
        assert policy.identity is not None
        known, self.identified = self.identified, None
        if known is not None and known[0] is policy:
            return known[1]  # type: ignore[no-any-return]
        return policy.identity(self)

    def redirect(self, scope: Scope, path: str) -> Scope:
        """Ask the application at another path, with ``root_path``; what was found out at the old one is forgotten.

        Returns:
            The scope for what lies inside; ``scope`` itself stays as it is.
        """
        self.scope = {**scope, "path": path, "raw_path": quoted_path(path)}
        self.path = path
        self.path_params = NO_PARAMS
        self.route = self.identified = self.missed = self.admission = None
        return self.scope

    def part(self) -> None:
        """Keep no scope that keeps this exchange: it would take the collector to free the two, and all they hold.

        What was to be told of the start keeps one, too.
        """
        scope = self.scope = dict(self.scope)
        scope.pop(EXCHANGE, None)
        self.starting = None

    def watching(self, send: Send) -> Send:
        """``send`` that notes ``status`` and ``complete`` here; itself where a layer outside does so already."""
        if self.starting is not None:
            return send
        starting = self.starting = []

        def send_watched(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                headers = list(message.get("headers", ()))
                for tell in reversed(starting):
                    tell(headers)
                message = {**message, "headers": headers}
            else:
                self.complete = self.status > 0 and not message.get("more_body", False)
            return send(message)

        return send_watched

    def at_start(self, tell: Callable[[list[Header]], None], send: Send) -> Send:
        """Have ``tell`` called with the header fields as the response starts, to which it may add.

        Returns:
            What to send with: ``send`` itself where a layer outside watches the response, and calls ``tell``.
        """
        if self.starting is not None:
            self.starting.append(tell)
            return send

        def send_telling(message: Message) -> Awaitable[None]:
            if message["type"] in STARTS:
                headers = list(message.get("headers", ()))
                tell(headers)
                message = {**message, "headers": headers}
            return send(message)

        return send_telling

    @property
    def query(self) -> bytes:
        """The query string as sent, without ``?``."""
        query: bytes = self.scope.get("query_string", b"")
        return query

    @property
    def trace(self) -> TraceContext:
        """The request's place in its trace; continued or begun when first asked for."""
        if self._trace is None:
            headers = self.headers
            self._trace = begin_trace(headers.get(b"traceparent"), headers.get(b"tracestate"), urandom)
        return self._trace


current_exchange = cast("ContextVar[Exchange | None]", current_request)
"""The request being served; what rooms below the front door know of it as ``current_request``."""


def quoted_path(path: str) -> bytes:
    """A decoded path as it is sent; what a percent sign stood for before it was decoded, it stands for again.

    >>> quoted_path("/100%41 a")
    b'/100%2541%20a'
    """
    return quote(path, safe="/!$&'()*+,;=:@~", errors="surrogatepass").encode("ascii")


def exchange_of(scope: Scope) -> Exchange:
    """The scope's exchange; made if no layer outside has."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    if exchange is None:
        exchange = scope[EXCHANGE] = Exchange(scope)
    return exchange
