"""One request and its response, as all layers see it. Touches: one context variable.

The outermost layer makes it and keeps it in the scope; every other layer finds it there. A layer that is used alone
makes its own. So headers are read once, and the caller, the route and the timings have one place.
"""

from __future__ import annotations

from contextvars import ContextVar
from os import urandom
from typing import TYPE_CHECKING, Any

from tailrace.asgi.headers import read_headers
from tailrace.asgi.trace import TraceContext, begin_trace
from tailrace.asgi.types import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXCHANGE", "Exchange", "current_exchange", "exchange_of"]

EXCHANGE = "tailrace.exchange"
"""The key under which the scope holds the exchange."""


class Exchange:
    """What is known of one request. Made per request; never shared between requests.

    Attributes:
        headers: of the request, by lower-case name, read once.
        request_id: "" until the request context has given one.
        path: as the client asked for it, with ``root_path``.
        path_params: of the matched route; empty until a route is known.
        route: template of the matched route, None until known. Bounded in number, so fit for a metric label.
        identity: whose request it is, if a layer has found out; never a credential.
        cache: what the response cache did with it, None when it was not asked.
        error: the exception that made the response, for the layers that report it.
        phases: seconds spent by phase, None when nobody measures.
    """

    __slots__ = (
        "_trace",
        "cache",
        "disconnected",
        "error",
        "headers",
        "identity",
        "method",
        "path",
        "path_params",
        "phases",
        "request_id",
        "response_bytes",
        "root_path",
        "route",
        "scope",
        "started",
        "status",
    )

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "")
        self.path: str = scope.get("path", "")
        self.root_path: str = scope.get("root_path", "")
        self.path_params: Mapping[str, Any] = {}
        self.request_id = ""
        self.route: str | None = None
        self.identity: str | None = None
        self.cache: str | None = None
        self.error: BaseException | None = None
        self.phases: dict[str, float] | None = None
        self.started = 0.0
        self.status = 0
        self.response_bytes = 0
        self.disconnected = False
        self.headers = read_headers(scope.get("headers", ()))
        self._trace: TraceContext | None = None

    def header(self, name: str) -> str | None:
        """One header field of the request, None when absent. ``name`` in any case."""
        value = self.headers.get(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

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


current_exchange: ContextVar[Exchange | None] = ContextVar("tailrace_exchange", default=None)
"""The request being served, for logs, statement comments and calls to other services."""


def exchange_of(scope: Scope) -> Exchange:
    """The scope's exchange; made if no layer outside has."""
    exchange: Exchange | None = scope.get(EXCHANGE)
    if exchange is None:
        exchange = scope[EXCHANGE] = Exchange(scope)
    return exchange
