"""Dropping and shrinking partitions on plain PostgreSQL. Touches: PostgreSQL, on a direct connection.

*Dropping.* A partition is marked, taken out CONCURRENTLY, so that nobody who reads or writes others waits, and dropped.
The mark tells whoever comes after a crash what is still to be dropped from what somebody took out to keep. With the
drop the summaries of its days are written as they are: what is kept of their rows depends on watches of them.

*Shrinking* writes a partition anew: its rows in order of segment and time, so that a sparse index (BRIN) over both
finds them; without its B-trees; whole pages; long values compressed. Readers go on with the old one meanwhile, writers
of that partition wait, and for the moment of the exchange everybody does: at most ``lock_timeout``, then the exchange
is given up and tried again later. Rows that come late go in as into any other partition.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tailrace.schema import Patience
from tailrace.schema.connection import Connection, with_patience
from tailrace.schema.sql_text import identifier, literal, qualified, short_name
from tailrace.timeseries.catalogue import EXPIRED, SHRUNKEN, Partition, abandoned_partitions, partitions_of
from tailrace.timeseries.partitions import expired
from tailrace.timeseries.plain import PlainEngine

__all__ = ["PlainUpkeep"]

_BYTES = "SELECT pg_total_relation_size($1::text::regclass)"


@dataclass(frozen=True, slots=True)
class PlainUpkeep:
    """One maintenance, under the advisory lock."""

    connection: Connection
    engine: PlainEngine
    patience: Patience

    async def drop_expired(self, now: datetime, keep: timedelta | None) -> int:
        """Drop the partitions that end ``keep`` ago, and what an interrupted run left; returns how many."""
        sql = self.engine.sql
        partitions = await partitions_of(self.connection, sql.sql_name)
        for partition in partitions:
            if partition.state == "detaching":
                await self._run(sql.finish_detaching(partition.sql_name))
        dropped = await self._drop_abandoned()
        gone = set(expired((p.span for p in partitions if p.state != "detaching"), now, keep))
        for partition in partitions:
            if partition.span in gone:
                await self._run(f"COMMENT ON TABLE {partition.sql_name} IS {literal(EXPIRED)}")
                await self._run(sql.detach(partition.sql_name, concurrently=True))
                dropped += await self._drop_abandoned()
        return dropped

    async def _drop_abandoned(self) -> int:
        """Drop what was taken out, and let whoever watches a summary know that its rows are no longer there."""
        sql = self.engine.sql
        names = await abandoned_partitions(self.connection, sql.schema, sql.table.name)
        for name in names:
            await with_patience(self.patience, lambda chosen=name: self._drop(chosen))  # type: ignore[misc]
        return len(names)

    async def _drop(self, name: str) -> None:
        async with self.connection.transaction():
            for statement in (*self.engine.sql.touch_summaries(name), f"DROP TABLE {name}"):
                await self.connection.execute(statement)

    async def shrink(self, now: datetime, age: timedelta | None) -> tuple[int, int]:
        """Shrink the partitions that ended ``age`` ago; returns how many, and how many bytes that freed."""
        partitions = await partitions_of(self.connection, self.engine.sql.sql_name)
        old = set(expired((p.span for p in partitions if p.state == "open"), now, age))
        saved = 0
        for partition in partitions:
            if partition.span in old:
                before = await self.connection.fetchval(_BYTES, partition.sql_name)
                await with_patience(self.patience, lambda chosen=partition: self._rewrite(chosen))  # type: ignore[misc]
                await self.connection.execute(f"VACUUM (FREEZE, ANALYZE) {partition.sql_name}")
                saved += before - await self.connection.fetchval(_BYTES, partition.sql_name)
        return len(old), saved

    async def _run(self, statement: str) -> None:
        await with_patience(self.patience, lambda: self.connection.execute(statement))

    async def _rewrite(self, partition: Partition) -> None:
        sql = self.engine.sql
        name = sql.partition_name(partition.span)
        new_name = short_name(f"{name} shrunken")
        new = qualified(sql.schema, new_name)
        order = ", ".join(identifier(column) for column in (*sql.segment_by, sql.time))
        async with self.connection.transaction():
            await self.connection.execute(f"LOCK TABLE {partition.sql_name} IN SHARE MODE")
            for statement in (
                *sql.bare_partition(new),
                *sql.compressed_columns(new),
                f"INSERT INTO {new} SELECT * FROM {partition.sql_name} ORDER BY {order}",
                *sql.sparse_index(new),
                sql.bound_check(new, partition.span),
                sql.detach(partition.sql_name, concurrently=False),
                sql.attach(new, partition.span),
                *sql.trigger_statements(new, partition.span),
                f"ALTER TABLE {new} DROP CONSTRAINT tailrace_bound",
                f"DROP TABLE {partition.sql_name}",
                f"ALTER TABLE {new} RENAME TO {identifier(name)}",
                f"COMMENT ON TABLE {qualified(sql.schema, name)} IS {literal(SHRUNKEN)}",
            ):
                await self.connection.execute(statement)
