"""Finding and repairing drift: a rollup that does not equal its rows. Touches: PostgreSQL, on connections of its own.

Triggers keep rollups exact; drift comes from writes that fire none (``session_replication_role = replica``, a disabled
trigger, a restore of part of the database, somebody's UPDATE of the rollup itself).

In one REPEATABLE READ snapshot the rows are aggregated afresh (by ranges of blocks, into a temporary table) and
compared with the rollup. Drift is a constant: triggers add the same to both sides from then on. So live-minus-rollup,
measured in one snapshot, may be added at any later moment, in short transactions and in key order, while writers run.
The advisory lock keeps a second repair from adding it twice, and ACCESS SHARE on the tables, held to the end, keeps
TRUNCATE out.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace.errors import SchemaError
from tailrace.schema.backfill import MERGE_ROWS, Progress, Report, blocks_of, chunk_condition, chunks
from tailrace.schema.catalogue import read_catalogue
from tailrace.schema.connection import Connection, Database, Patience, connect, exclusive, with_patience
from tailrace.schema.declarations import Rollup, schema_of
from tailrace.schema.log_upkeep import fold_pending
from tailrace.schema.managed import Managed
from tailrace.schema.planner import Declaration, rollup_hash
from tailrace.schema.rollup_sql import add, contribution, folded_table, live_rows, table_name
from tailrace.schema.sql_text import identifier, qualified

__all__ = ["Drift", "reconcile"]

SHOWN = 20
"""Most drifting keys that a report names."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one rollup was from its rows.

    Args:
        rollup: ``schema.name``.
        keys: how many of its keys drifted.
        examples: the first of them: key columns, and for each measure what the rollup lacks.
        repaired: whether the difference has been added.
    """

    rollup: str
    keys: int
    examples: Sequence[Mapping[str, Any]]
    repaired: bool


async def reconcile(
    database: Database,
    objects: Iterable[Declaration],
    *,
    repair: bool = False,
    progress: Report | None = None,
    patience: Patience | None = None,
) -> list[Drift]:
    """Compare every declared rollup with its rows. Reads each source once; folds what waits to be folded.

    Args:
        database: the server's own address, or an engine that has it.
        objects: declarations; the rollups among them are checked, and the summaries of time series.
        repair: add what is missing, and remove rows behind which nothing is left.
        progress: told how far each check is.
        patience: lock timeout and retries of repairs.

    Returns:
        One finding a rollup, in the order declared, then one a summary; ``keys`` is 0 where all is well.

    Raises:
        SchemaError: a rollup is not built, or from another definition: run apply first.
        DatabaseUnavailableError: no connection, or it was lost; nothing is half done that a new run does not see.
    """
    declared = list(objects)
    rollups = [item for item in declared if isinstance(item, Rollup)]
    found: list[Drift] = []
    async with connect(database) as keeper, exclusive(keeper):
        catalogue = await read_catalogue(keeper)
        for rollup in rollups:
            recorded = catalogue.recorded.get(("rollup", f"{rollup.schema}.{rollup.name}"))
            if recorded is None or recorded.state != "ready" or recorded.definition_hash != rollup_hash(rollup):
                raise SchemaError(f"rollup {rollup.name} is not built from this definition: run apply first")
        if any(rollup.maintenance == "deltas" for rollup in rollups):
            await fold_pending(keeper)
        for rollup in rollups:
            async with connect(database) as connection:
                check = _Check(connection, keeper, rollup, patience or Patience(), progress)
                found.append(await check.run(repair=repair))
        for item in declared:
            if isinstance(item, Managed):
                found += await item.check(keeper, repair=repair)
    return found


@dataclass(slots=True)
class _Check:
    """One rollup: ``connection`` holds the snapshot, ``keeper`` makes the repairs."""

    connection: Connection
    keeper: Connection
    rollup: Rollup
    patience: Patience
    report: Report | None

    async def run(self, *, repair: bool) -> Drift:
        await self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            tables = [qualified(schema_of(table), table.name) for table in self.rollup.tables]
            await self.connection.execute(
                f"LOCK TABLE {', '.join([*tables, table_name(self.rollup)])} IN ACCESS SHARE MODE"
            )
            await self._aggregate()
            total = await self._compare()
            examples = await self._drifting(0, SHOWN)
            if repair:
                await self._repair(total)
            return Drift(f"{self.rollup.schema}.{self.rollup.name}", total, examples, repair and total > 0)
        finally:
            if not self.connection.is_closed():
                await self.connection.execute("ROLLBACK")

    async def _aggregate(self) -> None:
        await self.connection.execute("SET LOCAL work_mem = '128MB'")
        await self.connection.execute(
            f"CREATE TEMP TABLE tailrace_live (LIKE {folded_table(self.rollup)}) ON COMMIT DROP"
        )
        blocks = await blocks_of(self.connection, self.rollup)
        for first, last in chunks(blocks):
            select = contribution(self.rollup, live_rows(self.rollup, chunk_condition(first, last)))
            keys, measures = _lists(self.rollup)
            await self.connection.execute(f"INSERT INTO pg_temp.tailrace_live ({keys}, {measures}) {select}")
            self._tell("check", last, blocks, "blocks")

    async def _compare(self) -> int:
        """Keep the differing keys, numbered in key order; returns how many."""
        keys, measures = _lists(self.rollup)
        names = [identifier(stored.column) for stored in self.rollup.stored]
        sums = ", ".join(
            f"sum({identifier(s.column)})::{s.sql_type} AS {identifier(s.column)}" for s in self.rollup.stored
        )
        minus = ", ".join(f"-{name}" for name in names)
        differs = " OR ".join(f"sum({name}) <> 0" for name in names)
        await self.connection.execute(
            f"CREATE TEMP TABLE tailrace_drift ON COMMIT DROP AS "
            f"SELECT row_number() OVER (ORDER BY {keys}) AS tailrace_row, g.* FROM (SELECT {keys}, {sums} FROM ("
            f"SELECT {keys}, {measures} FROM pg_temp.tailrace_live UNION ALL "
            f"SELECT {keys}, {minus} FROM {table_name(self.rollup)}) u GROUP BY {keys} HAVING {differs}) g"
        )
        total: int = await self.connection.fetchval("SELECT count(*) FROM pg_temp.tailrace_drift")
        return total

    async def _drifting(self, start: int, number: int) -> list[dict[str, Any]]:
        keys, measures = _lists(self.rollup)
        rows = await self.connection.fetch(
            f"SELECT {keys}, {measures} FROM pg_temp.tailrace_drift "
            "WHERE tailrace_row > $1 AND tailrace_row <= $2 ORDER BY tailrace_row",
            start, start + number,
        )  # fmt: skip
        return [dict(row) for row in rows]

    async def _repair(self, total: int) -> None:
        columns = [*self.rollup.key, *(stored.column for stored in self.rollup.stored)]
        marks = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
        statement = add(self.rollup, f"VALUES ({marks})")
        for start in range(0, total, MERGE_ROWS):
            rows = [tuple(row[name] for name in columns) for row in await self._drifting(start, MERGE_ROWS)]

            async def write(rows: list[tuple[Any, ...]] = rows) -> None:
                async with self.keeper.transaction():
                    await self.keeper.executemany(statement, rows)

            await with_patience(self.patience, write)
            self._tell("repair", min(start + MERGE_ROWS, total), total, "rows")
        zero = " AND ".join(f"{identifier(stored.column)} = 0" for stored in self.rollup.stored)
        await self.keeper.execute(f"DELETE FROM {folded_table(self.rollup)} WHERE {zero}")

    def _tell(self, phase: str, done: int, total: int, unit: str) -> None:
        if self.report is not None:
            self.report(Progress("rollup", f"{self.rollup.schema}.{self.rollup.name}", phase, done, total, unit))


def _lists(rollup: Rollup) -> tuple[str, str]:
    return (
        ", ".join(identifier(column) for column in rollup.key),
        ", ".join(identifier(stored.column) for stored in rollup.stored),
    )
