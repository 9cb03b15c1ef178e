"""A time series, declared. Pure but for what its engine does.

SIGNALS = TimeSeries(
    signals, time="time", segment_by=("asset", "channel"), compress_after=timedelta(days=7), keep=timedelta(days=730),
    summaries=(DailySummary("signals_daily", by=("asset", "channel"), figures={
        "signals": count(), "low": minimum(signals.c.price), "close": last(signals.c.price)}),),
)
await apply(url, [SIGNALS])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Literal

from sqlalchemy import DateTime, Table

from tailrace.errors import SchemaError
from tailrace.schema import Drift, Patience, Watch
from tailrace.schema.backfill import Report
from tailrace.schema.connection import Connection
from tailrace.schema.declarations import as_table, schema_of
from tailrace.schema.index import Index
from tailrace.schema.managed import Managed, Undertaken
from tailrace.schema.planner import Step
from tailrace.timeseries.adoption import check_fit
from tailrace.timeseries.catalogue import Standing
from tailrace.timeseries.declarations import DailySummary
from tailrace.timeseries.plain import PlainEngine
from tailrace.timeseries.plain_sql import PlainSql
from tailrace.timeseries.summary_sql import SummarySql, summary_table
from tailrace.timeseries.timescale import TimescaleEngine

__all__ = ["TimeSeries"]

_HYPERTABLE = """
SELECT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE hypertable_schema = $1 AND hypertable_name = $2)
"""
_FOUND = """
SELECT (SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)) AS kind,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS extended
"""


@dataclass(frozen=True, eq=False)
class TimeSeries(Managed):
    """A table of moments. ``apply`` makes it; nothing ever drops it but you.

    Args:
        table: a ``Table`` or mapped class. If it is not there it is made; if it is an ordinary table its rows move into
            the series, and until they have, whoever reads or writes it waits. Later columns are for migrations.
        time: its column that says when: with a time zone, never NULL.
        partition: how long a partition is: whole days, counted in UTC.
        segment_by: columns by which rows belong together; they are asked for and compressed by them.
        compress_after: how old a partition is when it is shrunken; None: never.
        keep: how old rows may become; None: they are kept for ever. Their summaries are.
        ahead: how far before their time partitions are made, and how far in the future a row may be.
        summaries: figures by day.
        indexes: columns of each B-tree that partitions have while they are new; by default one, over ``segment_by``
            and time.
        engine: what keeps a series that is not there yet; ``auto``: TimescaleDB where the database has the extension.

    Raises:
        SchemaError: a column is missing or may be NULL, or a time makes no sense.
    """

    table: Any
    time: str = "time"
    partition: timedelta = timedelta(days=1)
    segment_by: Sequence[str] = ()
    compress_after: timedelta | None = None
    keep: timedelta | None = None
    ahead: timedelta = timedelta(days=7)
    summaries: Sequence[DailySummary] = ()
    indexes: Sequence[Sequence[str]] | None = None
    engine: Literal["auto", "postgresql", "timescaledb"] = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "segment_by", tuple(self.segment_by))
        object.__setattr__(self, "summaries", tuple(self.summaries))
        self._refuse_unfit_columns()
        self._refuse_unfit_times()

    def _refuse_unfit_columns(self) -> None:
        table = self.source
        never_null = [self.time, *self.segment_by, *(name for summary in self.summaries for name in summary.by)]
        chosen = [*never_null, *(name for columns in self.indexes or () for name in columns)]
        for name in chosen:
            if name not in table.c:
                raise SchemaError(f"{table.name} has no column {name}")
        for name in never_null:
            if table.c[name].nullable:
                raise SchemaError(f"{table.name}.{name} may be NULL, which no partition, segment or summary can hold")
        kind = table.c[self.time].type
        if not isinstance(kind, DateTime) or not kind.timezone:
            raise SchemaError(f"{table.name}.{self.time} must be a timestamp with time zone")
        names = [summary.name for summary in self.summaries]
        if len(set(names)) != len(names) or table.name in names:
            raise SchemaError(f"{table.name}: two tables share a name: {', '.join(sorted([table.name, *names]))}")

    def _refuse_unfit_times(self) -> None:
        day = timedelta(days=1)
        if self.partition < day or self.partition % day:
            raise SchemaError(f"{self.name}: a partition is one day long or several, not {self.partition}")
        for name in ("compress_after", "keep", "ahead"):
            value: timedelta | None = getattr(self, name)
            if value is not None and value < timedelta(0):
                raise SchemaError(f"{self.name}: {name} cannot be {value}")
        if self.keep is not None and self.compress_after is not None and self.compress_after > self.keep:
            raise SchemaError(f"{self.name}: rows are dropped before they are compressed")

    @property
    def name(self) -> str:
        """The table's name."""
        return self.source.name

    @property
    def source(self) -> Table:
        """Its table."""
        return as_table(self.table)

    @property
    def tables(self) -> Sequence[str]:
        """``schema.name`` of the table and of its summaries."""
        schema = schema_of(self.source)
        return [f"{schema}.{name}" for name in (self.name, *(summary.name for summary in self.summaries))]

    def summary(self, name: str) -> Table:
        """The table of one of its summaries, to be read.

        Raises:
            SchemaError: there is none of that name.
        """
        for summary in self.summaries:
            if summary.name == name:
                return summary_table(self.source, summary, self.time)
        raise SchemaError(f"{self.name} has no summary {name}")

    @cached_property
    def sql(self) -> PlainSql:
        """The text of what plain PostgreSQL keeps."""
        indexes = self.indexes if self.indexes is not None else ((*self.segment_by, self.time),)
        return PlainSql(
            self.source,
            self.time,
            tuple(self.segment_by),
            tuple(tuple(columns) for columns in indexes),
            tuple(SummarySql(self.source, self.time, summary) for summary in self.summaries),
        )

    @cached_property
    def timescale(self) -> TimescaleEngine:
        """What keeps it on TimescaleDB."""
        return TimescaleEngine(self, self.sql, self.partition, self.keep)

    async def find(self, connection: Connection) -> tuple[PlainEngine | TimescaleEngine, Standing]:
        """What keeps it in this database, or would; and what is there. Cost: 1 round trip, 2 on TimescaleDB.

        Raises:
            SchemaError: its table is something else, or is kept by the other engine than it declares.
        """
        schema, table = schema_of(self.source), self.source.name
        found = await connection.fetchrow(_FOUND, self.sql.sql_name)
        assert found is not None
        kind, extended = found
        hyper = extended and kind is not None and await connection.fetchval(_HYPERTABLE, schema, table)
        if kind not in (None, "r", "p"):
            raise SchemaError(f"{schema}.{table} exists already and is no table: choose another name")
        if kind != "p" and not hyper:
            chosen = "timescaledb" if self.engine == "auto" and extended else self.engine
            return (self.timescale if chosen == "timescaledb" else self.plain), "absent" if kind is None else "ordinary"
        chosen = "timescaledb" if hyper else "postgresql"
        if self.engine not in ("auto", chosen):
            raise SchemaError(f"{schema}.{table} is kept by {chosen}, and declared to be by {self.engine}")
        return (self.timescale if hyper else self.plain), "series"

    @cached_property
    def plain(self) -> PlainEngine:
        """What keeps it on plain PostgreSQL."""
        return PlainEngine(self, self.sql, self.partition, self.ahead)

    async def steps(self, connection: Connection) -> list[Step]:
        """What has to be done so that the database holds it. Cost: a few round trips."""
        engine, standing = await self.find(connection)
        if standing == "ordinary":
            await check_fit(connection, self.sql)
        return await engine.steps(connection, standing)

    async def undertaken(self, connection: Connection, others: Sequence[Watch | Index]) -> Undertaken:
        """On TimescaleDB all about its summaries, which are views there. Cost: a few round trips."""
        names = {summary.name for summary in self.summaries}
        schema = schema_of(self.source)
        own = [each for each in others if each.source.name in names and schema_of(each.source) == schema]
        engine, standing = await self.find(connection)
        if not own or isinstance(engine, PlainEngine):
            return Undertaken()
        watches = tuple(each for each in own if isinstance(each, Watch))
        return Undertaken(own, await engine.watching(connection, standing, watches))

    async def carry_out(
        self, connection: Connection, step: Step, patience: Patience, report: Report | None = None
    ) -> None:
        """Do one of its steps."""
        engine, _ = await self.find(connection)
        await engine.carry_out(connection, step, patience, report)

    async def check(self, connection: Connection, *, repair: bool) -> list[Drift]:
        """Compare its summaries with its rows."""
        engine, _ = await self.find(connection)
        return await engine.check(connection, repair=repair)
