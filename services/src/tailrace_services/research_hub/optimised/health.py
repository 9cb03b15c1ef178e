"""Health by one statement, and the figures that Tailrace keeps anyway. Touches: the database, the cache's store."""

from __future__ import annotations

import asyncio
import time

from sqlalchemy import text

from tailrace.db import Database
from tailrace.errors import DatabaseError, DatabaseTimeoutError
from tailrace.fastapi import Tailrace
from tailrace.fastapi.figures import LOOKUPS, outcome_counts
from tailrace_services.research_hub.api.health import CacheState, DatabaseState, HealthView, milliseconds, pool_state

__all__ = ["OptimisedHealth"]

TIMEOUT = 1.0
"""Seconds within which a database that is well answers; whoever asks for health wants to know, not to wait."""

TABLES = ("users", "authors", "contents", "cards", "patterns", "token_ledger")
CHECK = text(f"SELECT {', '.join(f'EXISTS (SELECT FROM {table})' for table in TABLES)}")  # noqa: S608 - constants
"""That all tables can be read: the first row of each at most."""

PING = text("SELECT 1")

NOT_COMPUTED = ("hit", "stale", "collapsed")
"""Look-ups that were answered by what was held, or by what was under way for somebody else."""


class OptimisedHealth:
    """``Health`` on Tailrace.

    Args:
        tailrace: asked at each request, since its parts are made anew when the application starts again.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace

    async def check(self) -> HealthView:
        """One query, and no longer than :data:`TIMEOUT`."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._database.fetch(CHECK)
        except TimeoutError as error:
            message = f"the database did not answer within {TIMEOUT:g} s"
            raise DatabaseTimeoutError(message, retry_after=1) from error
        return HealthView()

    async def cache_state(self) -> CacheState:
        """This process's part of the store; look-ups of all policies together."""
        tailrace = self._tailrace
        held, expired = tailrace.store.statistics(), await tailrace.store.expired()
        lookups = hits = 0
        for outcomes in outcome_counts(tailrace.metrics, LOOKUPS).values():
            lookups += sum(outcomes.values())
            hits += sum(outcomes.get(outcome, 0) for outcome in NOT_COMPUTED)
        return CacheState(
            entries=held.entries,
            active=held.entries - expired,
            hits=hits,
            misses=lookups - hits,
            hit_rate=round(hits / lookups, 4) if lookups else None,
            memory_bytes=held.bytes,
        )

    async def database_state(self) -> DatabaseState:
        """One statement, timed, behind whoever waits for a connection."""
        pool = pool_state(self._database.engine)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._database.fetch(PING)
        except (DatabaseError, TimeoutError):
            return DatabaseState(status="down", latency_ms=None, pool=pool)
        return DatabaseState(status="up", latency_ms=milliseconds(time.perf_counter() - began), pool=pool)

    async def clear_cache(self) -> int:
        """Of every process that shares the store."""
        return await self._tailrace.cache.clear()

    async def clean_cache_up(self) -> int:
        """Of this process; a shared store lets go of what expires by itself."""
        return await self._tailrace.store.expired(remove=True)

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database
