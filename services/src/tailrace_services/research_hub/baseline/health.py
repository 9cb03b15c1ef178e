"""Health as it was: every table is counted to see whether it is there. Touches: the database."""

from __future__ import annotations

import time

from sqlalchemy import func, select, text

from tailrace.errors import DatabaseError
from tailrace_services.plain_sessions import Sessions
from tailrace_services.research_hub.api.health import CacheState, DatabaseState, HealthView, milliseconds, pool_state
from tailrace_services.research_hub.model import Author, Card, Content, Movement, Pattern, User

__all__ = ["BaselineHealth"]

TABLES = (User, Author, Content, Card, Pattern, Movement)


class BaselineHealth:
    """``Health`` of a service that has no cache.

    Args:
        sessions: the service's.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def check(self) -> HealthView:
        """One query after the other."""
        async with self._sessions.begin() as session:
            await session.execute(text("SELECT version()"))
            for table in TABLES:
                await session.execute(select(func.count()).select_from(table))
        return HealthView()

    async def cache_state(self) -> CacheState:
        """There is none."""
        return CacheState()

    async def database_state(self) -> DatabaseState:
        """One statement, timed."""
        pool = pool_state(self._sessions.engine)
        began = time.perf_counter()
        try:
            async with self._sessions.begin() as session:
                await session.execute(text("SELECT 1"))
        except DatabaseError:
            return DatabaseState(status="down", latency_ms=None, pool=pool)
        return DatabaseState(status="up", latency_ms=milliseconds(time.perf_counter() - began), pool=pool)

    async def clear_cache(self) -> int:
        """Nothing to let go of."""
        return 0

    async def clean_cache_up(self) -> int:
        """Nothing to let go of."""
        return 0
