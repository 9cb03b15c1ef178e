"""What the response cache does for one route. Pure: value types.

Everything is said by the route, on the server; nothing is stored that no policy asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeAlias

from tailrace.asgi.exchange import Exchange
from tailrace.cache.policy import Answer, CachePolicy

if TYPE_CHECKING:
    from tailrace.asgi.route_limit import RouteLimit

__all__ = ["DependsOn", "Finish", "IdentityOf", "Resolved", "RoutePolicy"]

IdentityOf: TypeAlias = Callable[[Exchange], str | Awaitable[str | None] | None]
"""Whose answer it is: an id, never a credential. None: nobody's that is known, so the answer is not cached."""

DependsOn: TypeAlias = Callable[[str | None, Mapping[str, Any], Mapping[str, str]], Iterable[str]]
"""Tags from identity, path parameters and query. Must depend on nothing else; its result is remembered."""

Finish: TypeAlias = Callable[[bytes, Answer], bytes]
"""The body to send, from the one that is stored and the answer that it came in."""

STATUSES = frozenset({200, 203, 204, 300, 301, 308, 404, 410})
"""Statuses kept by default: of the heuristically cacheable ones (RFC 9110 section 15.1) those that mean an answer."""


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """How the responses of one route are cached. Durations in seconds, sizes in bytes.

    Attributes:
        ttl: for how long a response is fresh by time. A smaller ``max-age`` of the response counts instead.
        identity: whose response it is. It is part of the key, unless the route is shared.
        shared: the response is the same for everyone. With ``identity`` as well, only those who have one are answered
            from the cache; without, the route must be open to everyone.
        depends_on: the tags that end its life, or a function that makes them.
        stale_while_revalidate, stale_if_error: as in RFC 5861, by time alone. A response whose tags were bumped is
            never served, whatever these say.
        vary: names of request header fields that the response depends on. ``Vary`` of responses is obeyed too, and
            what a FastAPI route declares to read of header fields (and without ``identity`` of cookies) counts too.
        query: names of the query parameters that matter; None: all of them.
        statuses: response statuses that are kept.
        request_directives: whether a request's ``no-cache``, ``max-age`` and ``min-fresh`` are obeyed. ``no-store`` and
            ``only-if-cached`` always are.
        cache_control: ``Cache-Control`` for the client, unless the response has one.
        max_body: a longer body is passed on and not kept; None: as in the settings.
        finish: for bodies that say how old they are: makes the body that is sent, each time, of the one that is
            stored, from what the given answer says of status and age. What the endpoint sends must be a whole body,
            since it is sent as it is when the cache is passed by. No ``ETag`` is added, as no two bodies are the same.
        name: label in events and metrics; the route's template by default.
        jitter, early_refresh, warm: as in ``CachePolicy``.

    Raises:
        ValueError: neither ``identity`` nor ``shared`` is given, or a duration makes no sense.
    """

    ttl: float
    identity: IdentityOf | None = None
    shared: bool = False
    depends_on: Sequence[str] | DependsOn = ()
    stale_while_revalidate: float = 0.0
    stale_if_error: float = 0.0
    vary: Sequence[str] = ()
    query: Sequence[str] | None = None
    statuses: frozenset[int] = STATUSES
    request_directives: bool = True
    cache_control: str = "no-cache"
    max_body: int | None = None
    finish: Finish | None = None
    name: str = ""
    jitter: float = 0.1
    early_refresh: float = 1.0
    warm: bool = False

    def __post_init__(self) -> None:
        if self.identity is None and not self.shared:
            raise ValueError(
                "a cached route must say whose answer it gives: identity=..., or shared=True if it is everyone's"
            )
        self.cache_policy("")  # the durations are checked there, when the route is declared

    def cache_policy(self, route: str) -> CachePolicy:
        """The same for the cache room; ``route`` names it if the policy has no name."""
        return CachePolicy(
            self.name or route,
            self.ttl,
            self.stale_while_revalidate,
            self.stale_if_error,
            self.jitter,
            self.early_refresh,
            self.warm,
        )


@dataclass(slots=True)
class Resolved:
    """The route that a path leads to.

    Attributes:
        template: the route's, with every prefix; fit for a metric label.
        policy: None when the route is not cached.
        path_params: as the router converts them.
        method: of the requests that it answers; "" where that does not matter.
        limits: the route's own rate limits.
        general_limits: whether those that hold everywhere hold here.
        name: method and template.
        identity_waits: finding out whose request it is takes waiting.
    """

    template: str
    policy: RoutePolicy | None
    path_params: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    limits: tuple[RouteLimit, ...] = ()
    general_limits: bool = True
    name: str = field(init=False)
    cache_policy: CachePolicy = field(init=False)
    vary: tuple[bytes, ...] = field(init=False)
    identity_waits: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.name = f"{self.method} {self.template}".strip()
        if self.policy is not None:
            self.identity_waits = iscoroutinefunction(self.policy.identity)
            self.cache_policy = self.policy.cache_policy(self.template)
            self.vary = tuple(sorted({name.lower().encode("latin-1") for name in self.policy.vary}))
