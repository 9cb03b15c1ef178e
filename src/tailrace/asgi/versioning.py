"""Versioning: asks the application for the version that the request means, and marks what is going away.

Touches: nothing but the request's exchange, which it tells the version and the path. Stands outside rate limits and the
response cache, so that both see the version's own path: one version's answer is never another's. What it says of a
version is added to cached answers as to others, and not stored with them.

HTTP only. An unknown version is raised to the layer outside that answers failures.

**Source:** as ``api_versions``; RFC 9110 section 12.5.5 (Vary).
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.asgi.api_versions import Chosen, Versions, lies_below
from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.headers import token_list
from tailrace.asgi.request_context import UNMATCHED, route_template
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.events import DeprecatedUsed, Observer

__all__ = ["VersioningMiddleware"]


REMEMBERED = 4096
"""Most paths of which it is remembered which version they mean."""
LONGEST_REMEMBERED = 256
"""Characters of such a path."""


class VersioningMiddleware:
    """Gives each request its version.

    Args:
        app: the application.
        versions: those that there are.
        observer: receives ``DeprecatedUsed``.
        route_of: the template of the matched route, asked for when a deprecated one has answered.

    Raises:
        RequestError: the request means a version that there is not, or names none and must; 400 or 404.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        versions: Versions,
        observer: Observer | None = None,
        route_of: Callable[[Exchange], str | None] = route_template,
    ) -> None:
        self.app = app
        self._versions = versions
        self._observer = observer
        self._route_of = route_of
        self._by_path: dict[str, Chosen] = {}
        self._field = versions.field_name
        self._vary = b"" if versions.field is None else versions.field.encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        root: str = scope.get("root_path", "")
        path: str = scope["path"]
        mounted = root if root and lies_below(path, root) else ""
        named = None if self._field is None else exchange.headers.get(self._field)
        chosen = self._choose(path[len(mounted) :] if mounted else path, named, scope["method"])
        if chosen is None:
            await self.app(scope, receive, send)
            return
        exchange.version = chosen.version
        exchange.key_part = chosen.version if chosen.apart else None
        if mounted + chosen.path != path:
            scope = exchange.redirect(scope, mounted + chosen.path)
        try:
            if chosen.by_field or chosen.fields:
                send = exchange.at_start(lambda headers: self._mark(chosen, headers), send)
            await self.app(scope, receive, send)
        finally:
            if chosen.deprecated is not None and self._observer is not None:
                route = exchange.route or self._route_of(exchange) or UNMATCHED
                self._observer(DeprecatedUsed(chosen.deprecated, route))

    def _choose(self, path: str, named: bytes | None, method: str) -> Chosen | None:
        chosen = self._by_path.get(path) if named is None else None
        if chosen is None:
            chosen = self._versions.choose(path, named, must_name=method != "OPTIONS")
            if chosen is not None and named is None and len(path) <= LONGEST_REMEMBERED:
                if len(self._by_path) >= REMEMBERED:
                    self._by_path.clear()
                self._by_path[path] = chosen
        return chosen

    def _mark(self, chosen: Chosen, headers: list[Header]) -> None:
        """Add what is to be said of the choice."""
        headers += chosen.fields
        if chosen.by_field:
            headers += self._told(chosen, headers)

    def _told(self, chosen: Chosen, headers: list[Header]) -> list[Header]:
        """The version that answered, and that the field decided it."""
        told = [(self._vary.lower(), (chosen.version or "").encode("latin-1"))]
        known = [name for field, value in headers if field.lower() == b"vary" for name in token_list(value)]
        if self._field not in known and b"*" not in known:
            told.append((b"vary", self._vary))
        return told
