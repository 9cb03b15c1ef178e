"""The queue's tables, in a schema of their own. Touches: PostgreSQL, on a direct connection of its own.

The library knows what its tables are to be and compares; what is missing it says in statements. Running it again costs
a look at the catalogue, also after an update of the library.
"""

from __future__ import annotations

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver

from tailrace.jobs.queue import TICKS, make_queries
from tailrace.schema.connection import Connection, Database, connect, exclusive

__all__ = ["install_tables", "plan_tables"]

TICKS_TABLE = f"CREATE TABLE {TICKS} (job text PRIMARY KEY, tick bigint NOT NULL)"


async def plan_tables(database: Database) -> list[str]:
    """The statements that ``install_tables`` would run; none where everything is there.

    Raises:
        SchemaError: a table is other than any release of the library made it.
        DatabaseUnavailableError: no connection.
    """
    async with connect(database) as connection:
        return await _missing(connection)


async def install_tables(database: Database) -> list[str]:
    """Make what is missing of the queue's tables; jobs in them stay. Two at once take turns.

    Args:
        database: the server's own address (not a transaction pooler's), or an engine that has it.

    Returns:
        The statements that were run.

    Raises:
        SchemaError: PostgreSQL refused a statement.
        DatabaseUnavailableError: no connection, or it was lost; run again.
    """
    async with connect(database) as connection, exclusive(connection):
        statements = await _missing(connection)
        for statement in statements:
            # One by one: a value that is added to a type cannot be used in the transaction that adds it.
            await connection.execute(statement)
        return statements


async def _missing(connection: Connection) -> list[str]:
    plan = await make_queries(AsyncpgDriver(connection)).plan_upgrade()
    there = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", TICKS)
    return [*plan.statements, *([] if there else [TICKS_TABLE])]
