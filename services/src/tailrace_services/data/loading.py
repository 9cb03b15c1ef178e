"""Steps of a load that replaces everything in a database, in one transaction. Touches: the connection handed in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Literal, TypeAlias, TypeVar

import asyncpg
from sqlalchemy import MetaData

__all__ = [
    "Connection",
    "Progress",
    "add_constraints",
    "copy_rows",
    "copy_to_all",
    "drop_constraints",
    "finish_tables",
    "hand_over",
    "lock",
]

MESSAGE = 1 << 20
"""Bytes in one CopyData message."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Progress = Callable[[str, int, int], None]
"""Called with a phase's name, how much of it is done and how much there is."""
Chunk = TypeVar("Chunk")


async def lock(connection: Connection, what: str) -> None:
    """Wait for the advisory lock of the name ``what`` and hold it to the transaction's end."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", what)


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


async def hand_over(chunks: Iterator[Chunk], take: Callable[[Chunk], Awaitable[None]]) -> None:
    """Let ``take`` have each chunk, while a thread already makes the next."""
    upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await upcoming) is not None:
            upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            await take(chunk)
    finally:
        upcoming.cancel()


async def copy_rows(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    *parts: bytes,
    form: Literal["text", "binary"],
    freeze: bool = True,
) -> None:
    """Write rows by COPY; ``parts`` together are the data in PostgreSQL's format ``form``.

    Args:
        freeze: no vacuum has to visit them; only where the transaction itself emptied the table, and it has no parts.
    """

    async def messages() -> AsyncIterator[bytes]:
        for part in parts:
            for start in range(0, len(part), MESSAGE):
                yield part[start : start + MESSAGE]

    await connection.copy_to_table(table, source=messages(), columns=list(columns), format=form, freeze=freeze)


async def copy_to_all(
    connections: Sequence[Connection],
    table: str,
    columns: Sequence[str],
    rows: bytes,
    *,
    form: Literal["text", "binary"],
) -> None:
    """Write the same rows to several databases, at the same time; the first failure ends all."""
    writing = [
        asyncio.create_task(copy_rows(each, table, columns, rows, form=form, freeze=False)) for each in connections
    ]
    try:
        await asyncio.gather(*writing)
    finally:  # nothing may still use a connection whose transaction is about to be rolled back
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)


async def add_constraints(connection: Connection, statements: Sequence[str], progress: Progress) -> None:
    """Put back what :func:`drop_constraints` dropped."""
    await connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
    for number, statement in enumerate(statements):
        progress("keys", number, len(statements))
        await connection.execute(statement)
    progress("keys", len(statements), len(statements))


async def finish_tables(connection: Connection, metadata: MetaData, progress: Progress) -> None:
    """Let the sequences of numbered tables go on above their last id; let the planner know all tables."""
    progress("statistics", 0, 1)
    for table in metadata.sorted_tables:
        if "id" in table.c and table.c.id.identity is not None:
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), max(id)) "  # noqa: S608 - our tables
                f"FROM {table.name} HAVING max(id) IS NOT NULL"
            )
        await connection.execute(f"ANALYZE {table.name}")
    progress("statistics", 1, 1)
