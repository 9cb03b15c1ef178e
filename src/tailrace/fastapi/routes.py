"""What the router knows, for the layers outside it. Touches: the application's routes (read).

Two questions, each answered without matching a route twice for one request:

- before the framework is entered: is this path cached or limited? The application's own routes are matched, in their
  order, once for a path; then the answer is remembered, so a hit never runs the router. A path that led nowhere is not
  remembered: a route that is added later, wherever, may answer it;
- after a response: which template was matched? The router has left it in the scope.

Works with routes declared, included and mounted, before or after.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from starlette.routing import Host, Match, Mount

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.route_policy import Resolved, RoutePolicy
from tailrace.asgi.types import Scope
from tailrace.fastapi.declared_fields import declared_fields
from tailrace.fastapi.decorator import has_general_limits, limits_of, policy_of
from tailrace.fastapi.indexed_routes import IndexedRoutes
from tailrace.fastapi.security_schemes import has_security_scheme

try:
    from fastapi.routing import iter_route_contexts
except ImportError:  # an older FastAPI copies included routes into the including router, or there is only Starlette
    iter_route_contexts = None  # type: ignore[assignment]

__all__ = ["RouteTable"]

REMEMBERED = 8192
"""Most paths whose route is remembered."""

_log = logging.getLogger("tailrace.fastapi")

_MISSING = object()
_NOWHERE = object()


class RouteTable:
    """The routes of one application.

    Args:
        app: a Starlette or FastAPI application.
        owned: a mounted application for which this is true looks after its own routes.
        index: finds the routes that a request's path may match; without one all are tried.
    """

    def __init__(self, app: Any, owned: Any, index: IndexedRoutes | None = None) -> None:
        self._app = app
        self._index = index
        self._owned = owned
        self._routes: list[Any] = app.router.routes
        self._count = -1
        self._paths: dict[object, Resolved | None] = {}
        self._prefixes: dict[str, str] = {}
        self._by_host = False
        self._warned: set[object] = set()

    def resolve(self, scope: Scope) -> Resolved | None:
        """The cached or limited route that answers such a request, None if it is neither. HEAD is answered as GET is.

        Cost: one look-up for a path that was seen; else one pass over the routes that may match.
        """
        if len(self._routes) != self._count:
            self.forget()
        root: str = scope.get("root_path", "")
        if scope.get("method") == "GET" and not root:  # nearly all, so they are spared what follows
            known = self._paths.get(scope["path"], _MISSING)
            if known is not _MISSING:
                return known  # type: ignore[return-value]
        key: object = (root, scope["path"]) if root else scope["path"]
        method: str = scope["method"] if scope["type"] == "http" else "WS"
        if method == "HEAD":
            method = "GET"
        elif method != "GET":
            key = (method, key)
        known = self._paths.get(key, _MISSING)
        if known is not _MISSING:
            return known  # type: ignore[return-value]
        self._by_host = False
        routes = self._routes if self._index is None else self._index.candidates(scope)
        found = self._find(routes, {**scope, "method": method, "path_params": {}}, "")
        if found is _NOWHERE:
            return None
        if not self._by_host:
            if len(self._paths) >= REMEMBERED:
                self._paths.clear()
            self._paths[key] = found  # type: ignore[assignment]
        return found  # type: ignore[return-value]

    def forget(self) -> None:
        """Routes have changed."""
        self._count = len(self._routes)
        if self._index is not None:
            self._index.forget()
        self._paths.clear()
        self._prefixes.clear()

    def template(self, exchange: Exchange) -> str | None:
        """The template of the route that answered, with every prefix; None if none did."""
        scope = exchange.scope
        own: Mapping[str, Any] = scope.get("fastapi") or {}
        route = own.get("effective_route_context") or scope.get("route")
        template: str | None = None if isinstance(route, Mount) else getattr(route, "path_format", None) or None
        mounted: str = scope.get("root_path", "")[len(exchange.root_path) :]
        if mounted:
            return self._prefix(mounted) + (template or "/{path}")
        if isinstance(route, Mount):
            return route.path + "/{path}"
        if template is None and "endpoint" in scope and not scope.get("path_params"):
            # A plain route without parameters, of which the router leaves only the endpoint: its path is its template.
            return exchange.path.removeprefix(exchange.root_path) or "/"
        return template

    def paths(self) -> set[str]:
        """The paths of the application's own routes, as declared."""
        return {path for path in (getattr(route, "path", None) for route in _flat(self._routes)) if path}

    def declared(self) -> Iterable[tuple[str, str, Any]]:
        """Template, method and endpoint of the application's own routes, without mounted ones."""
        for route in _flat(self._routes):
            for method in getattr(route, "methods", None) or ():
                yield route.path_format, method, route.endpoint

    def _find(self, routes: Iterable[Any], scope: dict[str, Any], prefix: str) -> object:
        """What is declared for the route that answers, None if nothing is; ``_NOWHERE`` if no route does."""
        for route in _flat(routes):
            self._by_host |= isinstance(route, Host)  # which host asks is not part of what is remembered
            match, child = route.matches(scope)
            if match is not Match.FULL:
                continue
            if isinstance(route, Mount | Host):
                app = getattr(route, "_base_app", route.app)
                if self._owned(app) or not hasattr(app, "routes"):
                    return None
                return self._find(route.routes, {**scope, **child}, prefix + getattr(route, "path", ""))
            endpoint = child.get("endpoint")
            policy = None if self._by_host else self._policy(endpoint, route)
            limits, general = limits_of(endpoint), has_general_limits(endpoint)
            if policy is None and not limits and general:
                return None
            template, params = prefix + route.path_format, child.get("path_params", {})
            return Resolved(template, policy, params, scope["method"], limits, general)
        return _NOWHERE

    def _policy(self, endpoint: Any, route: Any) -> RoutePolicy | None:
        """The endpoint's; none where it gives to everyone what the route gives only to those whom it knows.

        An answer depends on every header field that the route is declared to read; on the request's cookies, where it
        reads one and the policy does not say whose the answer is.
        """
        policy = policy_of(endpoint)
        if policy is None:
            return None
        if policy.identity is not None or not has_security_scheme(route):
            declared = declared_fields(route) - (frozenset() if policy.identity is None else {"cookie"})
            return replace(policy, vary=(*policy.vary, *declared)) if declared else policy
        if endpoint not in self._warned:
            self._warned.add(endpoint)
            _log.warning("%s is not cached: it asks who its client is, and its policy does not; %s", *_about(route))
        return None

    def _prefix(self, mounted: str) -> str:
        known = self._prefixes.get(mounted)
        if known is None:
            if len(self._prefixes) >= REMEMBERED:
                self._prefixes.clear()
            known = self._prefixes[mounted] = _mount_template(self._routes, mounted)
        return known


def _about(route: Any) -> tuple[str, str]:
    return route.path_format, "say whose answer it gives: identity=..., with shared=True if it is the same for all"


def _mount_template(routes: Iterable[Any], mounted: str) -> str:
    """The mounts' templates that the path ``mounted`` went through."""
    for route in _flat(routes):
        match = route.path_regex.match(mounted + "/") if isinstance(route, Mount) else None
        if match is None:
            continue
        rest = match.groupdict()["path"].rstrip("/")
        return str(route.path) + (_mount_template(route.routes, "/" + rest) if rest else "")
    return "/{mount}"


def _flat(routes: Iterable[Any]) -> Iterable[Any]:
    """The routes with those of included routers in their place."""
    if iter_route_contexts is None:
        return routes
    return [_effective(context) for context in iter_route_contexts(list(routes))]


def _effective(context: Any) -> Any:
    """What a route context stands for: the route itself, or the included route with its prefixes."""
    return getattr(context, "_effective_route", context)
