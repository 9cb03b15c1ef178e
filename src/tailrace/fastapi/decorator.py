"""Marks endpoints: cached, or never compressed. Pure: an endpoint is returned as it is, with its signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tailrace.asgi.route_policy import RoutePolicy

__all__ = ["POLICY", "cached", "is_uncompressed", "policy_of", "uncompressed"]

POLICY = "__tailrace_policy__"
UNCOMPRESSED = "__tailrace_uncompressed__"

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
