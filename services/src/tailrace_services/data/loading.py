"""Steps of a load that replaces everything in a database, in one transaction. Touches: the connection handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import asyncpg

__all__ = ["Connection", "Progress", "add_constraints", "drop_constraints", "finish_tables"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Progress = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done and how much there is."""


async def drop_constraints(connection: Connection, tables: Sequence[str]) -> list[str]:
    """Drop the primary, unique and foreign keys of ``tables``.

    Returns: the statements that put them back, in an order that works: a foreign key after the key it refers to.
    """
    rows = await connection.fetch(
        "SELECT conrelid::regclass::text AS owner, conname, contype::text, pg_get_constraintdef(oid) AS definition "
        "FROM pg_constraint WHERE conrelid = ANY ($1::text[]::regclass[]) "
        "AND contype IN ('p', 'u', 'f') ORDER BY contype, conname",
        list(tables),
    )  # 'f' before 'p' and 'u': a foreign key has to go before the key it refers to
    for row in rows:
        await connection.execute(f'ALTER TABLE {row["owner"]} DROP CONSTRAINT "{row["conname"]}"')
    return [
        f'ALTER TABLE {row["owner"]} ADD CONSTRAINT "{row["conname"]}" {row["definition"]}' for row in reversed(rows)
    ]


async def add_constraints(connection: Connection, statements: Sequence[str], progress: Progress) -> None:
    """Put back what :func:`drop_constraints` dropped."""
    await connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
    for number, statement in enumerate(statements):
        progress("keys", number, len(statements))
        await connection.execute(statement)
    progress("keys", len(statements), len(statements))


async def finish_tables(
    connection: Connection, numbered: Sequence[str], progress: Progress, others: Sequence[str] = ()
) -> None:
    """Let the sequences of ``numbered`` tables go on above their last id; let the planner know all of them."""
    progress("statistics", 0, 1)
    for table in numbered:
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) "  # noqa: S608 - names of our tables
            f"FROM {table} HAVING max(id) IS NOT NULL"
        )
    for table in (*numbered, *others):
        await connection.execute(f"ANALYZE {table}")
    progress("statistics", 1, 1)
