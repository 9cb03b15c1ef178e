"""Filling a new rollup while the service keeps writing. Touches: PostgreSQL, on connections of its own.

    A  BEGIN; lock source and parent against writers; make table and triggers ............. COMMIT
    B                              BEGIN; export snapshot ......... hold it until the end ........ ROLLBACK
    C                                                     aggregate B's snapshot -> staging -> merge

B's snapshot is taken while A keeps every writer out, so it holds exactly the rows the triggers did not see. Figures
are additive: the triggers count from A's commit on, what the snapshot holds is added whenever it is ready, and the sum
is right at the end (and not before: the rollup's state stays ``building``, and until then rows may even be negative).

Workers import the snapshot and aggregate ranges of the source's blocks (a TID range scan: it needs no key and reads
each page once), into an unlogged staging table. Staging is then summed by key and merged in key order, in short
transactions, as the triggers lock. B also holds ACCESS SHARE on the tables: a TRUNCATE, which the staged sums would
outlive, waits until the build ends.

A crash leaves the state ``building``; the next apply drops the table and starts again.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tailrace.schema.connection import Connection, Database, connect
from tailrace.schema.declarations import Rollup, schema_of
from tailrace.schema.rollup_sql import (
    add,
    columns_of_key,
    contribution,
    create_table,
    folded_name,
    folded_table,
    live_rows,
)
from tailrace.schema.sql_text import identifier, literal, qualified, short_name

__all__ = ["Backfill", "Progress", "Report", "drop_rollup", "staging_tables"]

CHUNKS = 64
"""Pieces in which a large source is read, at least."""
CHUNK_BLOCKS = 4096
"""Largest piece of a source, in 8 kB blocks (32 MB)."""
MERGE_ROWS = 2000
"""Rows of the rollup that one merging transaction locks at once, some 20 ms."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is. ``unit`` is blocks, rows or steps."""

    kind: str
    name: str
    phase: str
    done: int
    total: int
    unit: str


Report = Callable[[Progress], None]


def staging_tables(rollup: Rollup) -> tuple[str, str]:
    """Quoted names of the two tables a build uses."""
    full_name = f"{rollup.schema}.{rollup.name}"
    return qualified("tailrace", short_name(f"staging {full_name}")), qualified(
        "tailrace", short_name(f"merging {full_name}")
    )


def chunks(blocks: int) -> list[tuple[int, int]]:
    """[first, last) block ranges that cover a source of ``blocks``."""
    size = max(1, min(CHUNK_BLOCKS, -(-blocks // CHUNKS)))
    return [(first, min(first + size, blocks)) for first in range(0, blocks, size)]


def chunk_condition(first: int, last: int) -> list[str]:
    """Conditions that choose the rows on blocks [first, last)."""
    return [f"ctid >= '({first},0)'::tid", f"ctid < '({last},0)'::tid"]


@dataclass(slots=True)
class Backfill:
    """One rollup's build from an exported snapshot."""

    database: Database
    rollup: Rollup
    snapshot: str
    blocks: int
    workers: int = 2
    report: Report | None = None

    async def run(self) -> None:
        """Aggregate, merge, and leave the rollup whole."""
        await self._aggregate()
        async with connect(self.database) as connection:
            await self._merge(connection)
            await connection.execute(f"DROP TABLE {', '.join(staging_tables(self.rollup))}")
            await connection.execute(f"ANALYZE {folded_table(self.rollup)}")

    async def _aggregate(self) -> None:
        waiting = chunks(self.blocks)[::-1]
        done = 0

        async def work() -> None:
            nonlocal done
            async with connect(self.database) as connection:
                while waiting:
                    first, last = waiting.pop()
                    await self._aggregate_chunk(connection, first, last)
                    done += last - first
                    self._tell("aggregate", done, self.blocks, "blocks")

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.workers, max(1, len(waiting)))):
                    group.create_task(work())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed  # the first one stopped the others

    async def _aggregate_chunk(self, connection: Connection, first: int, last: int) -> None:
        select = contribution(self.rollup, live_rows(self.rollup, chunk_condition(first, last)))
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(self.snapshot)}")
            await connection.execute("SET LOCAL work_mem = '128MB'")
            await connection.execute(f"INSERT INTO {staging_tables(self.rollup)[0]} {select}")

    async def _merge(self, connection: Connection) -> None:
        staging, merging = staging_tables(self.rollup)
        keys = ", ".join(identifier(column) for column in self.rollup.key)
        measures = ", ".join(identifier(stored.column) for stored in self.rollup.stored)
        sums = ", ".join(
            f"sum({identifier(s.column)})::{s.sql_type} AS {identifier(s.column)}" for s in self.rollup.stored
        )
        await connection.execute("SET work_mem = '128MB'")
        made = await connection.execute(
            f"CREATE UNLOGGED TABLE {merging} AS SELECT row_number() OVER (ORDER BY {keys}) AS tailrace_row, * "
            f"FROM (SELECT {keys}, {sums} FROM {staging} GROUP BY {keys}) g"
        )
        total = int(made.split()[-1])
        await connection.execute(f"CREATE UNIQUE INDEX ON {merging} (tailrace_row)")
        for start in range(0, total, MERGE_ROWS):
            piece = (
                f"SELECT {keys}, {measures} FROM {merging} "
                f"WHERE tailrace_row > {start} AND tailrace_row <= {start + MERGE_ROWS} ORDER BY tailrace_row"
            )
            await connection.execute(add(self.rollup, piece))
            self._tell("merge", min(start + MERGE_ROWS, total), total, "rows")

    def _tell(self, phase: str, done: int, total: int, unit: str) -> None:
        if self.report is not None:
            self.report(Progress("rollup", f"{self.rollup.schema}.{self.rollup.name}", phase, done, total, unit))


async def prepare(connection: Connection, rollup: Rollup) -> None:
    """Make the empty table and its staging table, inside A's transaction; leftovers of an earlier build go first."""
    staging, merging = staging_tables(rollup)
    await drop_rollup(connection, rollup.schema, rollup.name)
    await connection.execute(f"DROP TABLE IF EXISTS {staging}, {merging}")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(rollup.schema)}")
    await connection.execute(create_table(rollup))
    if any(not null for _, _, null in columns_of_key(rollup)):
        # A publication of all tables refuses updates of one that has no primary key.
        await connection.execute(f"ALTER TABLE {folded_table(rollup)} REPLICA IDENTITY FULL")
    # LIKE takes NOT NULL along: a figure that is not finite is refused here, where a sum would pass over its NULL.
    await connection.execute(f"CREATE UNLOGGED TABLE {staging} (LIKE {folded_table(rollup)})")


async def drop_rollup(connection: Connection, schema: str, name: str) -> None:
    """Remove what is read under the rollup's name, a table or a view, and what the view is made of."""
    own = qualified(schema, name)
    kind = await connection.fetchval("SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)", own)
    if kind is not None:
        await connection.execute(f"DROP {'VIEW' if kind == 'v' else 'TABLE'} {own}")
    await connection.execute(f"DROP TABLE IF EXISTS {qualified('tailrace', folded_name(schema, name))}")


async def blocks_of(connection: Connection, rollup: Rollup) -> int:
    """Size of the rollup's source in blocks."""
    name = qualified(schema_of(rollup.source), rollup.source.name)
    size: int = await connection.fetchval(
        "SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::int", name
    )
    return size
