"""Finds out what became of writes whose answer was lost. Touches: the database.

Nobody writes to the user meanwhile, and the database is asked only when no transaction that could be the lost one is
still under way, so what it says is final.
"""

from __future__ import annotations

import asyncio

import asyncpg

from tailrace_services.hunt.actors import Field
from tailrace_services.hunt.world import User

__all__ = ["Settler"]

UNAVAILABLE = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)

GRACE = 0.5
"""Seconds in which what a killed process had sent reaches the database and begins."""


class Settler:
    """Settles users one after another.

    Args:
        last_call: the largest id of a call before the hunt began.
    """

    def __init__(self, field: Field, url: str, last_call: int) -> None:
        self._field = field
        self.url = url
        self._last_call = last_call
        self._connections = asyncio.Semaphore(4)

    async def run(self) -> None:
        """Settle whoever needs it, until the hunt is over."""
        while not self._field.over.is_set():
            for user in self._field.world.users.values():
                if user.unsettled and not self._field.over.is_set():
                    await self.settle(user)
            await asyncio.sleep(0.2)

    async def settle(self, user: User) -> bool:
        """Ask the database; False if it could not be asked, or writes did not come to an end."""
        was_closed, user.closed = user.closed, True
        try:
            for _ in range(100):
                if user.writing == 0:
                    break
                await asyncio.sleep(0.05)
            else:
                return False
            await asyncio.sleep(GRACE)
            async with self._connections:
                return await self._ask(user)
        except UNAVAILABLE:
            return False
        finally:
            user.closed = was_closed

    async def _ask(self, user: User) -> bool:
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            await self._outlive_transactions(connection)
            calls = dict.fromkeys(user.names, 0)
            for row in await connection.fetch(self._field.quarry.calls, user.id, self._last_call):
                calls[row["agent_id"]] = row["calls"]
            names = {row["id"]: row["name"] for row in await connection.fetch(self._field.quarry.names, user.id)}
        finally:
            connection.terminate()
        self._field.world.settle(user, calls, names, self._field.now())
        return True

    @staticmethod
    async def _outlive_transactions(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Return when every transaction that had begun to write before the call has ended."""
        mine = int(await connection.fetchval("SELECT pg_current_xact_id()::text::bigint"))
        oldest = 0
        while oldest <= mine:
            await asyncio.sleep(0.01)
            oldest = int(await connection.fetchval("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
