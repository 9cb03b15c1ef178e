"""Building one index without stopping writers. Touches: PostgreSQL.

``CREATE INDEX CONCURRENTLY`` waits for transactions that are older than it, holding no lock that writers mind; a build
that is cancelled, times out or loses its connection leaves an INVALID index, which the next attempt or run drops and
builds again. One at a time: two builds on one table would wait for each other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tailrace.schema.backfill import Progress, Report
from tailrace.schema.connection import Connection, Database, Patience, connect, with_patience
from tailrace.schema.declarations import schema_of
from tailrace.schema.index import Index
from tailrace.schema.objects import record
from tailrace.schema.planner import index_sql
from tailrace.schema.sql_text import qualified

__all__ = ["IndexBuild", "drop_index"]

LOCK_TIMEOUT = 60.0
"""Seconds a build waits for one older transaction; its waiting stops nobody."""
REPORT_EVERY = 0.25
"""Seconds between two looks at the build's progress."""

_PROGRESS = """
SELECT phase, CASE WHEN tuples_total > 0 THEN tuples_done ELSE blocks_done END AS done,
       CASE WHEN tuples_total > 0 THEN tuples_total ELSE blocks_total END AS total
FROM pg_stat_progress_create_index WHERE pid = $1
"""


async def drop_index(connection: Connection, schema: str, name: str) -> None:
    """Drop an index without stopping anybody; nothing happens if it is gone."""
    await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {qualified(schema, name)}")


@dataclass(slots=True)
class IndexBuild:
    """One declared index: what is left of an older one is dropped, then it is built and recorded."""

    database: Database
    connection: Connection
    index: Index
    definition_hash: str
    patience: Patience
    report: Report | None = None

    async def run(self) -> None:
        """Build it, whatever is there of it."""
        # In this order: an index that is whole while it is recorded as being built is then certainly the new one.
        await with_patience(self.patience, self._drop)
        await self._record("building")
        watcher = asyncio.create_task(self._watch()) if self.report else None
        try:
            await with_patience(self.patience, self._build)
        finally:
            if watcher is not None:
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
        await self.finish()

    async def finish(self) -> None:
        """What is left to do when it stands: figures for the planner, which an expression has none of before."""
        if self.index.computes:
            await self.connection.execute(f"ANALYZE {self._table}")
        await self._record("ready")
        if self.report:
            self.report(Progress("index", self._full_name, "built", 1, 1, "steps"))

    @property
    def _full_name(self) -> str:
        return f"{schema_of(self.index.source)}.{self.index.name}"

    @property
    def _table(self) -> str:
        return qualified(schema_of(self.index.source), self.index.source.name)

    async def _drop(self) -> None:
        await drop_index(self.connection, schema_of(self.index.source), self.index.name)

    async def _build(self) -> None:
        await self._drop()
        old = await self.connection.fetchval("SHOW lock_timeout")
        await self.connection.execute(f"SET lock_timeout = {int(LOCK_TIMEOUT * 1000)}")
        try:
            await self.connection.execute(index_sql(self.index))
        finally:
            if not self.connection.is_closed():
                await self.connection.execute(f"SET lock_timeout = '{old}'")

    async def _record(self, state: str) -> None:
        await record(self.connection, "index", self._full_name, self.definition_hash, state)

    async def _watch(self) -> None:
        pid = self.connection.get_server_pid()
        async with connect(self.database) as connection:
            while True:
                await self.patience.clock.sleep(REPORT_EVERY)
                row = await connection.fetchrow(_PROGRESS, pid)
                if row is not None and self.report is not None:
                    self.report(Progress("index", self._full_name, row["phase"], row["done"], row["total"], "rows"))
