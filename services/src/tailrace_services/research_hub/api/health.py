"""How the service is: for load balancers, for people, and what administrators may do about its cache.

Touches nothing itself. Nothing of it is kept: an answer is of the moment, or it is of no use.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, Response
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from tailrace_services.research_hub.api.schemas import Body
from tailrace_services.research_hub.api.surroundings import JSON, OWN, Surroundings, credentials, failures

__all__ = [
    "CacheState",
    "DatabaseState",
    "Health",
    "HealthView",
    "PerformanceView",
    "PoolState",
    "RemovedView",
    "build_health_routes",
    "milliseconds",
    "pool_state",
]

NOT_KEPT = {"cache-control": "no-store"}


class HealthView(Body):
    """``GET /health``: the database answers, and the tables are there."""

    status: Literal["ok"] = "ok"


class CacheState(Body):
    """This process's part of the cache."""

    entries: Annotated[int, Field(description="Held in this process.")] = 0
    active: Annotated[int, Field(description="Those of them that have not expired.")] = 0
    hits: Annotated[int, Field(description="Look-ups since the process started that took no computation.")] = 0
    misses: Annotated[int, Field(description="Look-ups that computed their answer.")] = 0
    hit_rate: Annotated[float | None, Field(description="From 0 to 1; null before the first look-up.")] = None
    memory_bytes: int = 0


class PoolState(Body):
    """Connections."""

    size: Annotated[int, Field(description="Kept open at most while there is nothing to do.")]
    checked_out: int
    overflow: Annotated[int, Field(description="Opened beyond the size just now.")]


class DatabaseState(Body):
    """The database, as this process sees it."""

    status: Literal["up", "down"]
    latency_ms: Annotated[float | None, Field(description="Of one statement; null while it is down.")]
    pool: PoolState


class PerformanceView(Body):
    """``GET /health/performance``."""

    cache: CacheState
    database: DatabaseState
    response_time_ms: Annotated[float, Field(description="What finding this out took.")]


class RemovedView(Body):
    """What an administrator had removed from the cache."""

    removed: Annotated[int, Field(description="Keys.")]


class Health(Protocol):
    """What an implementation knows of itself."""

    async def check(self) -> HealthView:
        """That all is well; a ``DatabaseError`` if it is not."""
        ...

    async def cache_state(self) -> CacheState:
        """Figures of the cache."""
        ...

    async def database_state(self) -> DatabaseState:
        """Figures of the database; it being down is one of them."""
        ...

    async def clear_cache(self) -> int:
        """Let go of everything; how many keys that was."""
        ...

    async def clean_cache_up(self) -> int:
        """Let go of what has expired; how many keys that was."""
        ...


def build_health_routes(health: Health, around: Surroundings) -> APIRouter:
    """All four, answered by ``health``; what changes something is for administrators only."""
    router = APIRouter(prefix="/health", tags=["health"])
    _add_reads(router, health)
    closed: dict[str, Any] = {
        "response_model": RemovedView,
        "responses": failures(*OWN),
        "dependencies": [*credentials(), Depends(around.callers.administrator)],
    }

    @router.post("/cache/clear", **closed)
    async def clear() -> Response:
        """Let go of everything that is cached."""
        return _as_json(RemovedView(removed=await health.clear_cache()))

    @router.post("/cache/cleanup", **closed)
    async def cleanup() -> Response:
        """Let go of what has expired, without waiting for somebody to come by."""
        return _as_json(RemovedView(removed=await health.clean_cache_up()))

    return router


def _add_reads(router: APIRouter, health: Health) -> None:
    @router.get("", response_model=HealthView, responses=failures())
    async def check() -> Response:
        """Whether the service can do its work."""
        return _as_json(await health.check())

    @router.get("/performance", response_model=PerformanceView, responses=failures())
    async def performance() -> Response:
        """How well it does it."""
        began = time.perf_counter()
        cache, database = await health.cache_state(), await health.database_state()
        took = milliseconds(time.perf_counter() - began)
        return _as_json(PerformanceView(cache=cache, database=database, response_time_ms=took))


def pool_state(engine: AsyncEngine) -> PoolState:
    """The figures of an engine's pool."""
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return PoolState(size=pool.size(), checked_out=pool.checkedout(), overflow=max(0, pool.overflow()))


def milliseconds(seconds: float) -> float:
    """For people.

    >>> milliseconds(0.00123456)
    1.235
    """
    return round(seconds * 1000, 3)


def _as_json(body: Body) -> Response:
    return Response(body.json_bytes(), headers=NOT_KEPT, media_type=JSON)
