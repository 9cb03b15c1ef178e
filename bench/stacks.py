"""Whole stacks around the same service: ours with every layer, and other packages put together to do the same.

*The usual stack* is what tutorials put together: asgi-correlation-id, prometheus-fastapi-instrumentator, slowapi's
layer, Starlette's gzip, fastapi-cache2. *The lean stack* is the quickest of each kind that these benchmarks found:
asgi-correlation-id, prometheus-fastapi-instrumentator, ``limits`` as a dependency, starlette-compress, cashews.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import SecretStr

from bench import peers
from bench.application import Application
from bench.asking import ASGIApp
from bench.checks import Check, counts, identifies, limits
from bench.contender import Surroundings, Table
from bench.layers import INSTRUMENTATOR, OURS
from bench.service import KEPT, PREFIX, bytes_ready, service
from tailrace import Tailrace, cached
from tailrace.asgi import Exchange, Version, Versions
from tailrace.settings import RateLimitSettings, Settings, ValkeySettings

__all__ = ["BARE", "OVER_LOOPBACK", "TABLES"]

MANY = 100
BROWSER = "gzip, deflate, br, zstd"
FIELDS_OF_A_HIT = (
    (b"cache-control", b"private, no-cache"),
    (b"etag", b'"cae66941d9efbd404e4d88758ea67670"'),
    (b"vary", b"accept-encoding"),
    (b"age", b"0"),
    (b"cache-status", b"tailrace; hit; ttl=599"),
    (b"ratelimit-policy", b'"general";q=900000000;w=86400'),
    (b"ratelimit", b'"general";r=900000000;t=1'),
    (b"x-request-id", b"0123456789ab-1f"),
    (b"x-response-time", b"0.012ms"),
)
USUAL = ("asgi-correlation-id", "fastapi-cache2", "prometheus-fastapi-instrumentator", "slowapi")
LEAN = ("asgi-correlation-id", "cashews", "limits", "prometheus-fastapi-instrumentator", "starlette-compress")

Make = Callable[[Surroundings], ASGIApp]
Needed = Sequence[Callable[..., Any]]


def user(exchange: Exchange) -> str | None:
    """Whose answer it is."""
    return exchange.header("x-user")


async def caller(request: Request) -> str:
    """Who asks, as endpoints of the reference services depend on it."""
    return request.headers.get("x-user", "nobody")


async def page(limit: Annotated[int, Query(ge=1, le=100)] = 20, cursor: str | None = None) -> tuple[int, str | None]:
    """Which part is wanted, likewise."""
    return limit, cursor


NEEDED = (
    APIKeyHeader(name="x-api-key", auto_error=False),
    HTTPBearer(auto_error=False),
    caller,
    page,
)
"""What an endpoint of the reference services depends on."""


def tailrace_stack(
    surroundings: Surroundings, *, routes: int = 2, shared: bool = False, needed: Needed = ()
) -> FastAPI:
    """Every layer there is, with limits in memory, or with a database and Valkey where they are ``shared``."""
    kept = cached(ttl=600, identity=user, depends_on=lambda identity, path, query: (f"calls:user_id={identity}",))
    app = service(routes=routes, kept=kept, dependencies=needed)
    settings = Settings(
        database_url=SecretStr(surroundings.database_url) if shared else None,
        valkey_url=SecretStr(surroundings.valkey_url) if shared else None,
        valkey=ValkeySettings(timeout=5.0),
        rate_limit=RateLimitSettings(general=surroundings.rate, mode="leased", timeout=5.0),
    )
    Tailrace(app, settings, versions=Versions([Version("v1", prefix=PREFIX)]))
    return app


def tailrace_itself(surroundings: Surroundings, **arguments: Any) -> ASGIApp:
    """The same, with the ``Tailrace`` served in the application's place."""
    served: Tailrace = tailrace_stack(surroundings, **arguments).state.tailrace
    return served


def usual_stack(surroundings: Surroundings, *, routes: int = 2) -> FastAPI:
    """What tutorials put together."""
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache
    from starlette.middleware.gzip import GZipMiddleware

    FastAPICache.init(InMemoryBackend(), prefix="bench")
    app = peers.by_slowapi(surroundings, middleware=True, routes=routes, kept=cache(expire=peers.KEEP))
    app.add_middleware(GZipMiddleware)
    return peers.with_id(peers.instrumented(app))


def lean_stack(surroundings: Surroundings, *, routes: int = 2) -> FastAPI:
    """The quickest of each kind."""
    from starlette_compress import CompressMiddleware

    app = peers.by_cashews(routes=routes, dependencies=[peers.by_limits(surroundings)])
    app.add_middleware(CompressMiddleware)
    return peers.with_id(peers.instrumented(app))


BARE = Application("bare ASGI", lambda surroundings: bytes_ready(), computes=None)
BARE_AS_A_HIT = Application(
    "bare ASGI, fields of a hit", lambda surroundings: bytes_ready(fields=FIELDS_OF_A_HIT), computes=None
)


def _needing() -> tuple[Application, ...]:
    """Answers that are not cached, of an endpoint with dependencies."""
    return (
        Application("FastAPI", lambda surroundings: service(dependencies=NEEDED), accepts=BROWSER),
        Application(
            "Tailrace, all layers",
            partial(tailrace_stack, needed=NEEDED),
            accepts=BROWSER,
            coding="zstd",
            checks=(identifies, counts(OURS), limits),
        ),
    )


def _plain(routes: int) -> tuple[Application, ...]:
    """Answers that are not cached, in what each stack thinks the best coding for a browser."""

    def one(name: str, make: Make, checks: tuple[Check, ...], coding: str, *packages: str) -> Application:
        return Application(name, make, peers=packages, accepts=BROWSER, coding=coding, checks=checks)

    return (
        one("FastAPI", lambda surroundings: service(routes=routes), (), ""),
        one("Tailrace, all layers", partial(tailrace_stack, routes=routes), (identifies, counts(OURS), limits), "zstd"),
        one(
            "the usual stack",
            partial(usual_stack, routes=routes),
            (identifies, counts(INSTRUMENTATOR), limits),
            "gzip",
            *USUAL,
        ),
        one(
            "the lean stack",
            partial(lean_stack, routes=routes),
            (identifies, counts(INSTRUMENTATOR), limits),
            "zstd",
            *LEAN,
        ),
    )


def _hits(routes: int) -> tuple[Application, ...]:
    """Answers from a cache that are not compressed, so that all send the same body."""

    def hit(name: str, make: Make, *packages: str, needs: frozenset[str] = frozenset()) -> Application:
        checks = (identifies, limits)
        return Application(name, make, peers=packages, needs=needs, target=KEPT, computes=0, checks=checks)

    return (
        hit("Tailrace, all layers", partial(tailrace_stack, routes=routes)),
        hit("Tailrace, all layers, served itself", partial(tailrace_itself, routes=routes)),
        hit("the usual stack", partial(usual_stack, routes=routes), *USUAL),
        hit("the lean stack", partial(lean_stack, routes=routes), *LEAN),
    )


SHARED = frozenset({"valkey", "database"})


def _over_loopback() -> Table:
    """Each kind of answer, names told apart."""

    def named(kind: str, applications: tuple[Application, ...]) -> tuple[Application, ...]:
        return tuple(replace(each, name=f"{each.name}: {kind}") for each in applications)

    shared = partial(tailrace_stack, shared=True)
    served = partial(tailrace_itself, shared=True)
    common = Application("Tailrace, shared: not cached", shared, needs=SHARED, accepts=BROWSER, coding="zstd")
    contenders = (
        BARE,
        BARE_AS_A_HIT,
        *named("hit", _hits(2)),
        Application("Tailrace, shared, served itself: hit", served, needs=SHARED, target=KEPT, computes=0),
        *named("not cached", _plain(2)),
        common,
        *named(f"not cached, {MANY} routes", _plain(MANY)),
    )
    return Table("over loopback", contenders, baseline=BARE.name)


TABLES = (
    Table("stack, not cached", (BARE, *_plain(2)), baseline="FastAPI"),
    Table("stack, not cached, with dependencies", (BARE, *_needing()), baseline="FastAPI"),
    Table(f"stack, not cached, {MANY} routes", (BARE, *_plain(MANY)), baseline="FastAPI"),
    Table("stack, hit", (BARE, BARE_AS_A_HIT, *_hits(2)), baseline="bare ASGI"),
    Table(f"stack, hit, {MANY} routes", (BARE, *_hits(MANY)), baseline="bare ASGI"),
)
OVER_LOOPBACK = _over_loopback()
