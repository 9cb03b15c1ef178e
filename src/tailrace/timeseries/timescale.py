"""A time series on TimescaleDB: a hypertable, compressed columns, continuous aggregates. Touches: PostgreSQL.

Its summaries are continuous aggregates of the same figures. Days that are over are materialised; the present one is
aggregated when it is read. What TimescaleDB does not do by itself at once is to bring what was written late into days
that are over: `ingest` has its own days refreshed when it is done, `maintain` all the others, and so does TimescaleDB's
policy, hourly.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tailrace.schema import Drift, Patience, Progress, Watch
from tailrace.schema.backfill import Report
from tailrace.schema.connection import Connection, with_patience
from tailrace.schema.objects import record
from tailrace.schema.planner import Action, Step
from tailrace.schema.reconciliation import SHOWN
from tailrace.schema.rollup_sql import SOURCE
from tailrace.schema.sql_text import identifier, interval, literal
from tailrace.timeseries.adoption import move_in, put_aside
from tailrace.timeseries.catalogue import Standing
from tailrace.timeseries.partitions import Span
from tailrace.timeseries.plain_sql import PlainSql
from tailrace.timeseries.summary_sql import SummarySql
from tailrace.timeseries.summary_state import compare, what_to_do
from tailrace.timeseries.timescale_watch import TRIGGERS, WatchSql, changed_procedure, own_policies

__all__ = ["FULL_BATCH", "TimescaleEngine"]

FULL_BATCH = 1000
"""Rows that TimescaleDB compresses together. Segments with fewer leave their batches unfilled: then rows are compressed
in order of time, whatever their segments."""
LEAST_REFRESHED = timedelta(days=3)
"""A policy refreshes two whole days at least, and leaves the present one alone."""
_CHUNKS = """
SELECT format('%I.%I', chunk_schema, chunk_name) AS name, range_start AS starts, range_end AS ends, is_compressed
FROM timescaledb_information.chunks WHERE hypertable_schema = $1 AND hypertable_name = $2 ORDER BY range_start
"""
_RECORDED = "SELECT definition_hash FROM tailrace.objects WHERE kind = 'series' AND name = $1"
_TRIGGERS = """
SELECT count(*) FROM pg_trigger
WHERE tgrelid = $1::text::regclass AND tgenabled = 'O' AND starts_with(tgname, 'tailrace_watched_')
"""
_BYTES = "SELECT coalesce(hypertable_size($1::text::regclass), 0)"


@dataclass(frozen=True, slots=True)
class TimescaleEngine:
    """One series. Whoever calls `carry_out` holds the lock of `tailrace.schema`'s ``apply``.

    Args:
        owner: the declaration, for steps.
        sql: its text, as far as it is the same.
        width: how long a chunk is.
        keep: how old rows may become.
    """

    owner: Any
    sql: PlainSql
    width: timedelta
    keep: timedelta | None

    # --- what has to be done ---------------------------------------------------------------------

    async def steps(self, connection: Connection, standing: Standing) -> list[Step]:
        """What has to be done, given what there is."""
        exists = standing == "series"
        spans = await self.spans(connection) if exists else []
        reason = "new" if standing == "absent" else "its rows move into chunks"
        steps = [] if exists else [self._step("series", self.owner.tables[0], "create", reason, self._creation())]
        for summary in self.sql.summaries:
            found = await what_to_do(connection, summary, spans[0].start if spans else None)
            if found is not None:
                texts = [] if found[0] == "resume" else self._aggregate(summary)
                steps.append(self._step("summary", summary.name, *found, texts))
        return steps

    async def watching(self, connection: Connection, standing: Standing, watches: tuple[Watch, ...]) -> list[Step]:
        """What has to be done so that ``watches`` of its summaries are kept."""
        if not watches:
            return []
        wanted = WatchSql(self.sql, watches, self.keep, self._refreshed())
        step = self._step("series", wanted.name, "create", "new", wanted.statements())
        step = replace(step, definition_hash=wanted.definition_hash)
        if standing != "series":
            return [step]
        known = await connection.fetchval("SELECT to_regclass('tailrace.objects') IS NOT NULL")
        recorded = await connection.fetchval(_RECORDED, wanted.name) if known else None
        if recorded is None:
            return [step]
        triggers = await connection.fetchval(_TRIGGERS, self.sql.sql_name)
        policies = await connection.fetchval(own_policies(self.sql))
        if recorded != wanted.definition_hash:
            return [replace(step, action="replace", reason="its definition changed")]
        # A summary that is made anew comes with a policy.
        if triggers != len(TRIGGERS) or policies or await self.steps(connection, standing):
            return [replace(step, action="replace", reason="changed or disabled in the database")]
        return []

    def _step(self, kind: Any, name: str, action: Action, reason: str, sql: Iterable[str] = ()) -> Step:
        return Step(kind, name, action, reason, tuple(sql), "timescaledb", self.owner)

    def _creation(self) -> list[str]:
        table, moment = literal(self.sql.sql_name), literal(self.sql.time)
        statements = [
            "CREATE EXTENSION IF NOT EXISTS timescaledb",
            self.sql.plain_table(),
            f"SELECT create_hypertable({table}, by_range({moment}, interval '{interval(self.width)}'), "
            "create_default_indexes => false)",
            *self.sql.index_statements(self.sql.sql_name),
        ]
        if self.keep is not None:
            statements.append(f"SELECT add_retention_policy({table}, interval '{interval(self.keep)}')")
        return statements

    def _aggregate(self, summary: SummarySql) -> list[str]:
        bucket = f"time_bucket(interval '1 day', {SOURCE}.{identifier(self.sql.time)})"
        rows = summary.aggregate(f"{self.sql.sql_name} {SOURCE}", day=bucket)
        refreshed = self._refreshed()
        if refreshed == timedelta():
            return [_view(summary, rows)]
        start = "NULL" if refreshed is None else f"interval '{interval(refreshed)}'"
        policy = (
            f"SELECT add_continuous_aggregate_policy({literal(summary.sql_name)}, start_offset => {start}, "
            "end_offset => interval '1 day', schedule_interval => interval '1 hour')"
        )
        return [_view(summary, rows), policy]

    def _refreshed(self) -> timedelta | None:
        """How far back days are refreshed now and then; None: all of them."""
        if self.keep is None:
            return None
        # Days whose chunks were dropped must not be refreshed: they would be empty then.
        refreshed = self.keep - self.width
        return timedelta() if refreshed < LEAST_REFRESHED else refreshed

    # --- doing it --------------------------------------------------------------------------------

    async def carry_out(self, connection: Connection, step: Step, patience: Patience, report: Report | None) -> None:
        """Make the hypertable, or one continuous aggregate, and fill that; or what keeps watches of them."""
        if step.kind == "series" and step.name != self.owner.tables[0]:
            await with_patience(patience, lambda: self._watch(connection, step))
            return
        if step.kind == "series":
            for statement in step.sql[:1]:  # an extension that others use must not go if the rest fails
                await connection.execute(statement)
            async with connection.transaction():
                aside: str | None = None
                if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", self.sql.sql_name):
                    aside = await put_aside(connection, self.sql)
                for statement in step.sql[1:]:
                    await connection.execute(statement)
                if aside is not None:
                    await move_in(connection, self.sql, aside)
                await record(connection, "series", step.name, step.definition_hash, "ready")
            return
        for summary in self.sql.summaries:
            if summary.name == step.name:
                await self._make(connection, step, summary)
                await self._refresh(connection, summary, patience, patience.clock.now())
                await record(connection, "summary", summary.name, summary.definition_hash, "ready")
                if report is not None:
                    report(Progress("summary", summary.name, "fill", 1, 1, "steps"))

    async def _watch(self, connection: Connection, step: Step) -> None:
        async with connection.transaction():
            for statement in step.sql:
                await connection.execute(statement)
            await record(connection, "series", step.name, step.definition_hash, "ready")

    async def _make(self, connection: Connection, step: Step, summary: SummarySql) -> None:
        if step.action == "resume":
            return
        async with connection.transaction():
            await connection.execute(f"DROP MATERIALIZED VIEW IF EXISTS {summary.sql_name}")
            for statement in step.sql:
                await connection.execute(statement)
            await record(connection, "summary", summary.name, summary.definition_hash, "building")

    async def refresh(
        self, connection: Connection, patience: Patience, now: float, since: datetime | None = None
    ) -> str | None:
        """Bring all summaries up to date with what was written to days that are over.

        Returns:
            What lets those know who watch the summaries, as a statement that is yet to be run; None if nobody does, or
            no day was over.
        """
        done = [await self._refresh(connection, summary, patience, now, since) for summary in self.sql.summaries]
        return await self._telling(connection) if any(done) else None

    async def _telling(self, connection: Connection) -> str | None:
        procedure = f"{changed_procedure(self.sql)}()"
        there = await connection.fetchval("SELECT to_regprocedure($1) IS NOT NULL", procedure)
        return f"CALL {procedure}" if there else None

    async def tell(self, connection: Connection) -> None:
        """Let whoever watches a summary know that any of its rows may have changed. Cost: 1 round trip, or 2."""
        telling = await self._telling(connection)
        if telling is not None:
            await connection.execute(telling)

    async def _refresh(
        self,
        connection: Connection,
        summary: SummarySql,
        patience: Patience,
        now: float,
        since: datetime | None = None,
    ) -> bool:
        """Whether there was a day that is over."""
        spans = await self.spans(connection)
        if not spans:
            return False
        start = spans[0].start if since is None else max(since, spans[0].start)
        start, today = (moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
                        for moment in (start, datetime.fromtimestamp(now, UTC)))  # fmt: skip
        if start >= today:
            return False
        span = ", ".join(f"{literal(moment.isoformat())}::timestamptz" for moment in (start, today))
        call = f"CALL refresh_continuous_aggregate({literal(summary.sql_name)}, {span})"
        await with_patience(patience, lambda: connection.execute(call))
        return True

    # --- keeping it ------------------------------------------------------------------------------

    async def spans(self, connection: Connection) -> list[Span]:
        """What its chunks hold, in order."""
        return [Span(row["starts"], row["ends"]) for row in await self._chunks(connection)]

    async def _chunks(self, connection: Connection) -> list[Any]:
        return list(await connection.fetch(_CHUNKS, self.sql.schema, self.sql.table.name))

    async def drop_expired(self, connection: Connection, now: datetime) -> int:
        """Drop the chunks that are too old; returns how many. Their summaries stay."""
        if self.keep is None:
            return 0
        before = literal((now - self.keep).isoformat())
        dropped = await connection.fetch(
            f"SELECT drop_chunks({literal(self.sql.sql_name)}, older_than => {before}::timestamptz)"
        )
        if dropped:
            await self.tell(connection)
        return len(dropped)

    async def compress(self, connection: Connection, now: datetime, age: timedelta | None) -> tuple[int, int]:
        """Compress the chunks that are old enough; returns how many, and how many bytes that freed."""
        if age is None:
            return 0, 0
        chunks = await self._chunks(connection)
        old = [c for c in chunks if c["ends"] <= now - age and not c["is_compressed"]]
        if not old:
            return 0, 0
        before = await connection.fetchval(_BYTES, self.sql.sql_name)
        if not any(chunk["is_compressed"] for chunk in chunks):
            await self._choose_layout(connection, old[-1]["name"], age)
        for chunk in old:
            await connection.execute(f"SELECT compress_chunk({literal(chunk['name'])}, if_not_compressed => true)")
        return len(old), before - await connection.fetchval(_BYTES, self.sql.sql_name)

    async def _choose_layout(self, connection: Connection, chunk: str, age: timedelta) -> None:
        """By what the newest of the old chunks holds; then TimescaleDB's own policy goes on."""
        segments = ", ".join(identifier(name) for name in self.sql.segment_by)
        options = f"timescaledb.compress, timescaledb.compress_orderby = {literal(f'{identifier(self.sql.time)} DESC')}"
        rows = 0.0
        if segments:
            rows = await connection.fetchval(
                f"SELECT coalesce(avg(n), 0)::float8 FROM (SELECT count(*) AS n FROM {chunk} GROUP BY {segments}) g"
            )
        if rows >= FULL_BATCH:
            options += f", timescaledb.compress_segmentby = {literal(segments)}"
        table = literal(self.sql.sql_name)
        await connection.execute(f"ALTER TABLE {self.sql.sql_name} SET ({options})")
        await connection.execute(
            f"SELECT add_compression_policy({table}, interval '{interval(age)}', if_not_exists => true)"
        )

    async def check(self, connection: Connection, *, repair: bool) -> list[Drift]:
        """Compare each aggregate with the rows, chunk by chunk."""
        found = []
        for summary in self.sql.summaries:
            total = 0
            examples: list[dict[str, Any]] = []
            for span in await self.spans(connection):
                drifting, first = await compare(connection, self.sql, summary, span)
                total += drifting
                examples += first[: SHOWN - len(examples)]
            if total and repair:
                await self._refresh(connection, summary, Patience(), datetime.now(UTC).timestamp())
                await self.tell(connection)
            found.append(Drift(summary.name, total, examples, repair and total > 0))
        return found


def _view(summary: SummarySql, rows: str) -> str:
    return (
        f"CREATE MATERIALIZED VIEW {summary.sql_name} "
        f"WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS\n{rows}\nWITH NO DATA"
    )
