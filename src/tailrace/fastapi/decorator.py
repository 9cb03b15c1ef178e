"""Marks endpoints: cached, limited, or never compressed. Pure: an endpoint is returned as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tailrace.asgi.route_limit import RouteLimit
from tailrace.asgi.route_policy import RoutePolicy

__all__ = [
    "POLICY",
    "cached",
    "has_general_limits",
    "is_uncompressed",
    "limited",
    "limits_of",
    "policy_of",
    "uncompressed",
    "unlimited",
]

POLICY = "__tailrace_policy__"
UNCOMPRESSED = "__tailrace_uncompressed__"
LIMITS = "__tailrace_limits__"
UNLIMITED = "__tailrace_unlimited__"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def cached(policy: RoutePolicy | None = None, /, **options: Any) -> Callable[[Endpoint], Endpoint]:
    """Cache the responses of an endpoint; below the route's decorator.

    Args:
        policy: the whole policy, or
        options: its fields: ``ttl``, ``identity`` or ``shared``, ``depends_on`` and the others of ``RoutePolicy``.

    Raises:
        ValueError: the policy does not say whose responses they are, or a duration makes no sense.
        TypeError: both or neither is given, or an option has another name.
    """
    if (policy is None) == (not options):
        raise TypeError("cached() takes a RoutePolicy or its fields")
    chosen = policy or RoutePolicy(**options)

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, POLICY, chosen)
        return endpoint

    return mark


def policy_of(endpoint: Any) -> RoutePolicy | None:
    """The policy that the endpoint was marked with."""
    found = getattr(endpoint, POLICY, None)
    return found if isinstance(found, RoutePolicy) else None


def uncompressed(endpoint: Endpoint) -> Endpoint:
    """Never compress the responses of an endpoint; below the route's decorator.

    For those that repeat what the request said beside a secret: their compressed length would tell of the secret.
    """
    setattr(endpoint, UNCOMPRESSED, True)
    return endpoint


def is_uncompressed(endpoint: Any) -> bool:
    """True if the endpoint was marked with ``uncompressed``."""
    return getattr(endpoint, UNCOMPRESSED, False) is True


def limited(limit: RouteLimit | str, /, **options: Any) -> Callable[[Endpoint], Endpoint]:
    """Limit how often an endpoint may be asked; below the route's decorator. Several limits count together.

    Args:
        limit: a rate such as ``20/minute``, or the whole limit.
        options: the other fields of ``RouteLimit``: ``burst``, ``cost``, ``by``, ``name``, ``mode``, ``on_outage``.

    Raises:
        ValueError: the rate cannot be read, or the cost is not within the burst.
        TypeError: options are given beside a whole limit, or one has another name.
    """
    if isinstance(limit, RouteLimit):
        if options:
            raise TypeError("limited() takes a RouteLimit or a rate with options")
        chosen = limit
    else:
        chosen = RouteLimit(limit, **options)

    def mark(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, LIMITS, (chosen, *limits_of(endpoint)))
        return endpoint

    return mark


def unlimited(endpoint: Endpoint) -> Endpoint:
    """Let the general limits not count for an endpoint; its own do."""
    setattr(endpoint, UNLIMITED, True)
    return endpoint


def limits_of(endpoint: Any) -> tuple[RouteLimit, ...]:
    """The limits that the endpoint was marked with, always the same object for one endpoint."""
    found = getattr(endpoint, LIMITS, ())
    return found if isinstance(found, tuple) else ()


def has_general_limits(endpoint: Any) -> bool:
    """Whether the general limits count for the endpoint."""
    return getattr(endpoint, UNLIMITED, False) is not True
