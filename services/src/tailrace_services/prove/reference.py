"""What makes the slow code quick enough on the fast service's database to be asked. Touches: the database.

Tailrace's objects in that database (indexes above all) make the live queries quick; the code, and so the answers, are
the baseline's. A service may name more indexes for queries that the fast code does not have.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tailrace_services.data.connection import open_connection

__all__ = ["reference_indexes"]


@asynccontextmanager
async def reference_indexes(url: str, indexes: Mapping[str, str]) -> AsyncIterator[None]:
    """The indexes, by name, until the end of the block. Cost: some seconds each at ten million rows."""
    async with open_connection(url) as connection:
        for name, columns in indexes.items():
            await connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {columns}")
    try:
        yield
    finally:
        async with open_connection(url) as connection:
            for name in indexes:
                await connection.execute(f"DROP INDEX IF EXISTS {name}")
