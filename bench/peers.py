"""Other packages as they are added to a service, each as its own documentation has it. Imported only when used.

Some need help to do what they are compared for: fastapi-limiter keeps one bucket for all callers unless it is given a
factory of buckets, and ``limits`` and throttled-py are libraries without a layer, so here they are dependencies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import time_ns
from typing import Any

from fastapi import FastAPI, HTTPException, Request

from bench.asking import ASGIApp
from bench.contender import Surroundings
from bench.service import service

__all__ = [
    "by_aiocache",
    "by_cashews",
    "by_fastapi_cache",
    "by_fastapi_limiter",
    "by_hishel",
    "by_limits",
    "by_slowapi",
    "by_throttled",
    "ending",
    "instrumented",
    "per_caller",
    "quota",
    "with_exporter",
    "with_id",
]

KEEP = 600
"""Seconds for which answers are kept."""

Dependency = Callable[..., Awaitable[Any]]


def with_id(app: FastAPI) -> FastAPI:
    """asgi-correlation-id."""
    from asgi_correlation_id import CorrelationIdMiddleware

    app.add_middleware(CorrelationIdMiddleware)
    return app


def instrumented(app: FastAPI) -> FastAPI:
    """prometheus-fastapi-instrumentator."""
    from prometheus_fastapi_instrumentator import Instrumentator

    Instrumentator().instrument(app).expose(app)
    return app


def with_exporter(app: FastAPI) -> FastAPI:
    """starlette_exporter."""
    from starlette_exporter import PrometheusMiddleware, handle_metrics

    app.add_middleware(PrometheusMiddleware)
    app.add_route("/metrics", handle_metrics)
    return app


def by_slowapi(surroundings: Surroundings, url: str = "", *, middleware: bool, **arguments: Any) -> FastAPI:
    """slowapi: its decorator on the endpoints, or its middleware with default limits for all."""
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.middleware import SlowAPIMiddleware
    from slowapi.util import get_remote_address

    general = [surroundings.rate] if middleware else []
    limiter = Limiter(get_remote_address, default_limits=general, storage_uri=url or None)  # type: ignore[arg-type]
    app = service(**arguments) if middleware else service(limited=limiter.limit(surroundings.rate), **arguments)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)  # type: ignore[arg-type]
    if middleware:
        app.add_middleware(SlowAPIMiddleware)
    return app


def by_fastapi_limiter(surroundings: Surroundings, url: str = "") -> Dependency:
    """fastapi-limiter, which is pyrate-limiter underneath, with a bucket for each caller."""
    from fastapi_limiter.depends import RateLimiter
    from pyrate_limiter import Limiter

    return RateLimiter(Limiter(per_caller(surroundings, url)))


def per_caller(surroundings: Surroundings, url: str = "") -> Any:
    """Buckets of pyrate-limiter in memory or on a server, one for each caller."""
    from pyrate_limiter import AbstractBucket, BucketFactory, Duration, InMemoryBucket, MonotonicClock, Rate, RateItem
    from pyrate_limiter.buckets import RedisBucket
    from redis.asyncio import Redis

    rates = [Rate(surroundings.allowed, Duration.DAY if surroundings.period == "day" else Duration.MINUTE)]
    buckets: dict[str, AbstractBucket] = {}
    redis = Redis.from_url(url) if url else None
    clock = MonotonicClock()

    class PerCaller(BucketFactory):
        def wrap_item(self, name: str, weight: int = 1) -> RateItem:
            return RateItem(name, clock.now() if redis is None else time_ns() // 1_000_000, weight=weight)

        def get(self, item: RateItem) -> Any:
            bucket = buckets.get(item.name)
            if bucket is not None:
                return bucket
            if redis is not None:
                return self.opened(redis, item.name)
            bucket = buckets[item.name] = self.create(InMemoryBucket, rates)
            return bucket

        async def opened(self, redis: Redis, name: str) -> AbstractBucket:
            bucket: AbstractBucket = await RedisBucket.init(rates, redis, name)
            buckets[name] = bucket
            self.schedule_leak(bucket)
            return bucket

    return PerCaller()


def by_limits(surroundings: Surroundings, url: str = "") -> Dependency:
    """``limits``, a fixed window."""
    import limits
    from limits.aio.storage import MemoryStorage, RedisStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    storage = RedisStorage(f"async+{url}", implementation="redispy") if url else MemoryStorage()
    limiter, rate = FixedWindowRateLimiter(storage), limits.parse(surroundings.rate)

    async def limit(request: Request) -> None:
        if not await limiter.hit(rate, request.client.host):  # type: ignore[union-attr]
            raise HTTPException(429)

    return limit


def by_throttled(surroundings: Surroundings, url: str = "") -> Dependency:
    """throttled-py, by GCRA."""
    import throttled
    from throttled.asyncio import MemoryStore, RedisStore, Throttled

    limiter = Throttled(
        using=throttled.RateLimiterType.GCRA.value,
        quota=quota(surroundings),
        store=RedisStore(server=url) if url else MemoryStore(),
    )

    async def limit(request: Request) -> None:
        if (await limiter.limit(request.client.host)).limited:  # type: ignore[union-attr]
            raise HTTPException(429)

    return limit


def quota(surroundings: Surroundings) -> Any:
    """A rate as throttled-py has it, all of it as the burst."""
    import throttled

    per = throttled.per_day if surroundings.period == "day" else throttled.per_min
    return per(surroundings.allowed, burst=surroundings.allowed)


def by_fastapi_cache(url: str = "", **arguments: Any) -> FastAPI:
    """fastapi-cache2's decorator."""
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.backends.redis import RedisBackend
    from fastapi_cache.decorator import cache
    from redis.asyncio import Redis

    app = service(kept=cache(expire=KEEP), **arguments)

    redis = Redis.from_url(url) if url else None
    FastAPICache.init(RedisBackend(redis) if redis else InMemoryBackend(), prefix="bench")
    return app if redis is None else ending(app, redis.aclose)


def by_cashews(url: str = "", **arguments: Any) -> FastAPI:
    """cashews' decorator, and its layer that says so in ``Cache-Control`` and ``Age``."""
    from cashews import Cache
    from cashews.contrib.fastapi import CacheRequestControlMiddleware

    cache = Cache()
    cache.setup(url or "mem://")
    app = service(kept=cache(ttl=KEEP, key="items"), **arguments)
    app.add_middleware(CacheRequestControlMiddleware, cache_instance=cache)
    return ending(app, cache.close)


def by_aiocache(**arguments: Any) -> FastAPI:
    """aiocache's decorator, in memory."""
    from aiocache import cached

    return service(kept=cached(ttl=KEEP, key="items"), **arguments)


def by_hishel(app: ASGIApp) -> ASGIApp:
    """hishel's layer before ``app``; of the two storages that it has, SQLite, here without a file."""
    import anysqlite
    from hishel import AsyncSqliteStorage
    from hishel.asgi import ASGICacheMiddleware

    layer: ASGIApp = app

    async def kept(scope: Any, receive: Any, send: Any) -> None:
        nonlocal layer
        if scope["type"] != "lifespan":
            await layer(scope, receive, send)
            return
        storage = AsyncSqliteStorage(connection=await anysqlite.connect(":memory:", isolation_level=None))
        layer = ASGICacheMiddleware(app, storage=storage)

        async def tell(message: Any) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                await storage.close()
            await send(message)

        await app(scope, receive, tell)

    return kept


def ending(app: FastAPI, end: Callable[[], Awaitable[None]]) -> FastAPI:
    """``app``, which does ``end`` last when it is stopped."""
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[Any]:
        try:
            async with inner(application) as state:
                yield state
        finally:
            await end()

    app.router.lifespan_context = lifespan
    return app
