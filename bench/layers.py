"""One layer at a time around a FastAPI service whose answer is bytes made before, ours beside other packages'."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Response

from bench import peers
from bench.application import Application
from bench.asking import ASGIApp
from bench.checks import counts, identifies, limits
from bench.contender import Surroundings, Table
from bench.service import bytes_ready, service
from tailrace.asgi import (
    LimitDefaults,
    ProblemDetailsMiddleware,
    RateLimitMiddleware,
    RequestContextMiddleware,
    RouteLimit,
)
from tailrace.asgi.load_shedding import LoadSheddingMiddleware
from tailrace.limits import LeasedLimiter, Limiter, MemoryLimiter, SharedBuckets, ValkeyLimiter
from tailrace.limits.limit import Mode
from tailrace.observe import Metrics, exposition
from tailrace.settings import ValkeySettings

__all__ = ["TABLES"]

MANY = 100
OURS = "http_server_request_duration_seconds_count"
INSTRUMENTATOR = "http_requests_total"
EXPORTER = "starlette_requests_total"


def made(routes: int = 2, add: Callable[[FastAPI], Any] = lambda app: app) -> Callable[[Surroundings], ASGIApp]:
    """Makes the service with something added."""

    def make(surroundings: Surroundings) -> ASGIApp:
        app = service(bare=True, routes=routes)
        add(app)
        return app

    return make


def layer(kind: Any, **arguments: Any) -> Callable[[Surroundings], ASGIApp]:
    """Makes the service inside a layer."""
    return made(add=lambda app: app.add_middleware(kind, **arguments))


def context_with_metrics(app: FastAPI) -> None:
    """Our ids and our metrics, and nothing else of ours."""
    metrics = Metrics()
    app.add_middleware(RequestContextMiddleware, observer=metrics)

    @app.get("/metrics")
    async def shown() -> Response:
        return Response(exposition([metrics.part()]))


def limited_by_tailrace(surroundings: Surroundings, *, mode: Mode | None = None) -> ASGIApp:
    """The service with our limits: in memory, or on Valkey if there is a mode."""
    app, limiter = service(bare=True), limiter_of(surroundings, mode)
    general = (RouteLimit(surroundings.rate, name="general"),)
    app.add_middleware(
        RateLimitMiddleware, general=general, limiter=limiter, defaults=LimitDefaults(mode=mode or "exact")
    )
    return peers.ending(app, limiter.aclose)


def limiter_of(surroundings: Surroundings, mode: Mode | None) -> Limiter:
    """One that fails when Valkey does, rather than deciding without it."""
    if mode is None:
        return MemoryLimiter()
    buckets = SharedBuckets(surroundings.valkey_url, settings=ValkeySettings(timeout=10.0))
    return LeasedLimiter(buckets) if mode == "leased" else ValkeyLimiter(buckets)


def depending(make: Callable[..., Any], *, valkey: bool = False) -> Callable[[Surroundings], ASGIApp]:
    """Makes the service with a limiting dependency."""

    def made_with(surroundings: Surroundings) -> ASGIApp:
        given = (surroundings.valkey_url,) if valkey else ()
        return service(bare=True, dependencies=[make(surroundings, *given)])

    return made_with


def slowapi(surroundings: Surroundings, *, middleware: bool, valkey: bool = False) -> ASGIApp:
    """The service with slowapi."""
    url = surroundings.valkey_url if valkey else ""
    return peers.by_slowapi(surroundings, url, middleware=middleware, bare=True)


BARE = Application("bare ASGI", lambda surroundings: bytes_ready(), computes=None)
FASTAPI = Application("FastAPI", made())


def _metrics(routes: int) -> tuple[Application, ...]:
    return (
        Application(
            "Tailrace: request context, metrics", made(routes, context_with_metrics), checks=(identifies, counts(OURS))
        ),
        Application(
            "prometheus-fastapi-instrumentator",
            made(routes, peers.instrumented),
            peers=("prometheus-fastapi-instrumentator",),
            checks=(counts(INSTRUMENTATOR),),
        ),
        Application(
            "starlette_exporter",
            made(routes, peers.with_exporter),
            peers=("starlette-exporter",),
            checks=(counts(EXPORTER),),
        ),
    )


def _limiters(*, valkey: bool) -> tuple[Application, ...]:
    """A contender for each way to limit."""
    needs = frozenset({"valkey"}) if valkey else frozenset[str]()

    def one(name: str, make: Callable[[Surroundings], ASGIApp], *packages: str) -> Application:
        return Application(name, make, peers=packages, needs=needs, checks=(limits,))

    redis = ("redis",) if valkey else ()
    found = [
        one("fastapi-limiter", depending(peers.by_fastapi_limiter, valkey=valkey), "fastapi-limiter", "redis"),
        one("limits, as a dependency", depending(peers.by_limits, valkey=valkey), "limits", *redis),
        one("throttled-py, as a dependency", depending(peers.by_throttled, valkey=valkey), "throttled-py", *redis),
        one("slowapi, its decorator", partial(slowapi, middleware=False, valkey=valkey), "slowapi", *redis),
        one("slowapi, its middleware", partial(slowapi, middleware=True, valkey=valkey), "slowapi", *redis),
    ]
    if valkey:
        return (
            one("Tailrace: limits, exact", partial(limited_by_tailrace, mode="exact")),
            one("Tailrace: limits, leased", partial(limited_by_tailrace, mode="leased")),
            *found,
        )
    return (
        one("Tailrace: limits", limited_by_tailrace),
        *found,
    )


TABLES = (
    Table(
        "layers",
        (
            BARE,
            FASTAPI,
            Application("Tailrace: request context", layer(RequestContextMiddleware), checks=(identifies,)),
            Application(
                "asgi-correlation-id",
                made(add=peers.with_id),
                peers=("asgi-correlation-id",),
                checks=(identifies,),
            ),
            *_metrics(2),
            Application("Tailrace: problem details", layer(ProblemDetailsMiddleware)),
            Application("Tailrace: load shedding", layer(LoadSheddingMiddleware)),
        ),
        baseline="FastAPI",
    ),
    Table(
        f"layers, {MANY} routes",
        (BARE, Application("FastAPI", made(MANY)), *_metrics(MANY)),
        baseline="FastAPI",
    ),
    Table("layers, limits in memory", (BARE, FASTAPI, *_limiters(valkey=False)), baseline="FastAPI"),
    Table("layers, limits on Valkey", (BARE, FASTAPI, *_limiters(valkey=True)), baseline="FastAPI"),
)
