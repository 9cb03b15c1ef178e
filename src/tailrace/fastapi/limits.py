"""Rate limits of an application: the limiter and the layer, made from its settings. Touches: nothing while they are
made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.asgi.client_address import ClientAddresses
from tailrace.asgi.rate_limit import RateLimitMiddleware
from tailrace.asgi.route_limit import LimitDefaults, RouteLimit
from tailrace.asgi.types import ASGIApp
from tailrace.errors import SettingsError
from tailrace.events import Observer
from tailrace.limits import Limiter, MemoryLimiter
from tailrace.settings import RateLimitSettings

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace
    from tailrace.fastapi.routes import RouteTable

__all__ = ["general_limits", "make_limiter", "rate_limit"]

GENERAL = "general"
"""What the limit from the settings is called."""


def general_limits(settings: RateLimitSettings) -> tuple[RouteLimit, ...]:
    """The limits that count for every route.

    Raises:
        SettingsError: the rate cannot be read.
    """
    if not settings.general:
        return ()
    try:
        return (RouteLimit(settings.general, settings.general_burst, name=GENERAL),)
    except ValueError as error:
        raise SettingsError(f"TAILRACE_RATE_LIMIT__GENERAL: {error}") from None


def make_limiter(tailrace: Tailrace) -> Limiter:
    """What keeps the buckets: the store, if there is one, else this process.

    Raises:
        SettingsError: the store's URL, a rate or a network cannot be read.
    """
    settings = tailrace.settings.rate_limit
    general_limits(settings)
    _addresses(tailrace)
    url = settings.valkey_url or tailrace.settings.valkey_url
    if url is None or not settings.enabled:
        return MemoryLimiter(most=settings.max_buckets, clock=tailrace.clock)
    from tailrace.limits import LeasedLimiter, ResilientLimiter, SharedBuckets, ValkeyLimiter

    buckets = SharedBuckets(
        url.get_secret_value(),
        settings=tailrace.settings.valkey.model_copy(update={"timeout": settings.timeout}),
        namespace=tailrace.settings.cache.namespace,
        durable=settings.durable_store,
        observer=tailrace.observer,
    )
    return ResilientLimiter(
        ValkeyLimiter(buckets),
        LeasedLimiter(
            buckets,
            part=settings.lease_part,
            keep=settings.lease_keep,
            most=settings.max_buckets,
            clock=tailrace.clock,
        ),
        local=MemoryLimiter(most=settings.max_buckets, clock=tailrace.clock, decided_by="share"),
        processes=settings.processes,
    )


def rate_limit(app: ASGIApp, tailrace: Tailrace, routes: RouteTable, observer: Observer) -> RateLimitMiddleware:
    """The layer around ``app``."""
    settings = tailrace.settings.rate_limit
    return RateLimitMiddleware(
        app,
        general=general_limits(settings),
        resolve=routes.resolve,
        limiter=tailrace.limiter,
        addresses=_addresses(tailrace),
        defaults=LimitDefaults(tailrace.caller, settings.mode, settings.on_outage),
        observer=observer,
        shape=tailrace.error_shape,
    )


def _addresses(tailrace: Tailrace) -> ClientAddresses:
    http = tailrace.settings.http
    try:
        return ClientAddresses(http.trusted_proxies, http.proxy_header)
    except ValueError as error:
        raise SettingsError(f"TAILRACE_HTTP__TRUSTED_PROXIES: {error}") from None
