"""A time series on plain PostgreSQL: made, checked and repaired. Touches: PostgreSQL, on a direct connection.

A summary that is new to a series with rows is filled day by day, each day by the same statements that its triggers run
when rows go: they lock a day's keys and count afresh, so the filling may stop anywhere and begin again, while others
write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tailrace.schema import Drift, Patience, Progress
from tailrace.schema.backfill import Report
from tailrace.schema.connection import Connection, with_patience
from tailrace.schema.objects import record
from tailrace.schema.planner import Action, Step
from tailrace.schema.reconciliation import SHOWN
from tailrace.schema.sql_text import identifier, qualified
from tailrace.timeseries.adoption import move_in, put_aside
from tailrace.timeseries.catalogue import Partition, Standing, lock_series, partitions_of
from tailrace.timeseries.partitions import Span, due, gaps
from tailrace.timeseries.plain_sql import PlainSql
from tailrace.timeseries.summary_sql import SummarySql
from tailrace.timeseries.summary_state import compare, what_to_do

__all__ = ["PlainEngine", "days_of", "make_partitions"]

ONE_DAY = timedelta(days=1)
_BODIES = """
SELECT proname, prosrc FROM pg_proc
WHERE pronamespace = to_regnamespace('tailrace') AND proname = ANY($1::text[])
"""
_TRIGGERS = """
SELECT tgrelid::regclass::text AS name FROM pg_trigger
WHERE tgrelid = ANY($1::text[]::regclass[]) AND tgenabled = 'O' AND tgname = ANY($2::text[])
"""


async def make_partitions(connection: Connection, sql: PlainSql, wanted: Iterable[Span]) -> int:
    """Make what is not there of the spans ``wanted``. Several processes may do it at once.

    Returns:
        How many were made.
    """
    async with connection.transaction():
        await lock_series(connection, sql.sql_name)
        spans = gaps(wanted, [partition.span for partition in await partitions_of(connection, sql.sql_name)])
        for span in spans:
            for statement in sql.create_partition(span):
                await connection.execute(statement)
    return len(spans)


def days_of(span: Span) -> list[Span]:
    """Its days, the last one perhaps cut."""
    days = []
    start = span.start
    while start < span.end:
        days.append(Span(start, min(start + ONE_DAY, span.end)))
        start += ONE_DAY
    return days


@dataclass(frozen=True, slots=True)
class PlainEngine:
    """One series. Whoever calls `carry_out` holds the lock of `tailrace.schema`'s ``apply``.

    Args:
        owner: the declaration, for steps.
        sql: its text.
        width: how long a partition is.
        ahead: how far partitions are made before they are needed.
    """

    owner: Any
    sql: PlainSql
    width: timedelta
    ahead: timedelta

    @property
    def name(self) -> str:
        """``schema.name``."""
        return f"{self.sql.schema}.{self.sql.table.name}"

    # --- what has to be done ---------------------------------------------------------------------

    async def steps(self, connection: Connection, standing: Standing) -> list[Step]:
        """What has to be done, given what there is."""
        exists = standing == "series"
        summaries = [
            step
            for summary in self.sql.summaries
            for step in await self._summary_steps(connection, summary, exists=exists)
        ]
        remade = [summary for step in summaries if step.action != "resume" for summary in self._called(step.name)]
        texts = [*(summary.create() for summary in remade), *self.sql.function_statements()]
        texts += self.sql.trigger_statements(self.sql.sql_name)
        if not exists:
            reason = "new" if standing == "absent" else "its rows move into partitions"
            return [self._step("series", self.name, "create", reason, [*self.sql.create(), *texts]), *summaries]
        partitions = await partitions_of(connection, self.sql.sql_name)
        if not remade and await self._triggers_are_whole(connection, partitions):
            return summaries
        return [self._step("series", self.name, "replace", "what keeps its summaries changed", texts), *summaries]

    def _step(self, kind: Any, name: str, action: Action, reason: str, sql: Iterable[str] = ()) -> Step:
        return Step(kind, name, action, reason, tuple(sql), self.sql.functions_hash, self.owner)

    def _called(self, name: str) -> list[SummarySql]:
        return [summary for summary in self.sql.summaries if summary.name == name]

    async def _summary_steps(self, connection: Connection, summary: SummarySql, *, exists: bool) -> list[Step]:
        partitions = await partitions_of(connection, self.sql.sql_name) if exists else []
        found = await what_to_do(connection, summary, partitions[0].span.start if partitions else None)
        return [] if found is None else [self._step("summary", summary.name, *found)]

    async def _triggers_are_whole(self, connection: Connection, partitions: list[Partition]) -> bool:
        wanted = {function.name: function.body for function in self.sql.functions}
        bodies = {r["proname"]: r["prosrc"].strip("\n") for r in await connection.fetch(_BODIES, list(wanted))}
        names = [function.trigger for function in self.sql.functions]
        tables = [self.sql.sql_name, *(partition.sql_name for partition in partitions)]
        found = await connection.fetch(_TRIGGERS, tables, names)
        # The table itself has no trigger for TRUNCATE.
        return bodies == wanted and len(found) == max(0, len(tables) * len(names) - (1 if names else 0))

    # --- doing it --------------------------------------------------------------------------------

    async def carry_out(self, connection: Connection, step: Step, patience: Patience, report: Report | None) -> None:
        """Make the table, or what keeps its summaries; or fill one of them."""
        if step.kind == "series":
            await with_patience(patience, lambda: self._make(connection, step))
            await self.make_ahead(connection, datetime.fromtimestamp(patience.clock.now(), UTC))
            return
        for summary in self._called(step.name):
            await self._fill(connection, summary, report)

    async def _make(self, connection: Connection, step: Step) -> None:
        async with connection.transaction():
            aside: str | None = None
            if step.action == "create":
                if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", self.sql.sql_name):
                    aside = await put_aside(connection, self.sql)
                for statement in self.sql.create():
                    await connection.execute(statement)
            else:
                await connection.execute(f"LOCK TABLE {self.sql.sql_name} IN SHARE ROW EXCLUSIVE MODE")
            for summary in self.sql.summaries:
                if any(s.action != "resume" for s in await self._summary_steps(connection, summary, exists=True)):
                    await connection.execute(f"DROP TABLE IF EXISTS {summary.sql_name}")
                    await connection.execute(summary.create())
                    await record(connection, "summary", summary.name, summary.definition_hash, "building")
            if aside is not None:
                await self._adopt(connection, aside)
            for statement in (*self.sql.function_statements(), *self.sql.trigger_statements(self.sql.sql_name)):
                await connection.execute(statement)
            for partition in await partitions_of(connection, self.sql.sql_name):
                for statement in self.sql.trigger_statements(partition.sql_name, partition.span):
                    await connection.execute(statement)
            await record(connection, "series", self.name, step.definition_hash, "ready")

    async def _adopt(self, connection: Connection, aside: str) -> None:
        """Move the rows of the table ``aside`` (quoted) into partitions, which are indexed when they are full."""
        moment = identifier(self.sql.time)
        first = await connection.fetchval(f"SELECT min({moment}) FROM {aside}")  # noqa: S608 - our names
        last = await connection.fetchval(f"SELECT max({moment}) FROM {aside}")  # noqa: S608 - our names
        spans = [] if first is None else due(first, last - first, self.width)
        names = [qualified(self.sql.schema, self.sql.partition_name(span)) for span in spans]
        for span, name in zip(spans, names, strict=True):
            for statement in (*self.sql.bare_partition(name), self.sql.attach(name, span)):
                await connection.execute(statement)
        await move_in(connection, self.sql, aside)
        for name in names:
            for statement in self.sql.index_statements(name):
                await connection.execute(statement)
        await connection.execute(f"ANALYZE {self.sql.sql_name}")

    async def _fill(self, connection: Connection, summary: SummarySql, report: Report | None) -> None:
        partitions = await partitions_of(connection, self.sql.sql_name)
        days = [day for partition in partitions for day in days_of(partition.span)]
        for done, day in enumerate(days, 1):
            await self.recompute(connection, summary, self.sql.keys_within(summary, day))
            if report is not None:
                report(Progress("summary", summary.name, "fill", done, len(days), "days"))
        await connection.execute(f"ANALYZE {summary.sql_name}")
        await record(connection, "summary", summary.name, summary.definition_hash, "ready")

    async def recompute(self, connection: Connection, summary: SummarySql, keys: str) -> None:
        """Make the keys of the query ``keys`` what the rows say, in one transaction."""
        async with connection.transaction():
            for statement in summary.recompute(keys, self.sql.sql_name):
                await connection.execute(statement)

    async def make_ahead(self, connection: Connection, now: datetime) -> int:
        """Make the partitions from ``now`` on; returns how many."""
        return await make_partitions(connection, self.sql, due(now, self.ahead, self.width))

    # --- comparing -------------------------------------------------------------------------------

    async def check(self, connection: Connection, *, repair: bool) -> list[Drift]:
        """Compare each summary with the rows, one partition after the other, each in one snapshot."""
        return [await self._check(connection, summary, repair=repair) for summary in self.sql.summaries]

    async def _check(self, connection: Connection, summary: SummarySql, *, repair: bool) -> Drift:
        total = 0
        examples: list[dict[str, Any]] = []
        for partition in await partitions_of(connection, self.sql.sql_name):
            drifting, first = await compare(connection, self.sql, summary, partition.span)
            total += drifting
            examples += first[: SHOWN - len(examples)]
            if drifting and repair:
                for day in days_of(partition.span):
                    await self.recompute(connection, summary, self.sql.keys_within(summary, day))
        return Drift(summary.name, total, examples, repair and total > 0)
