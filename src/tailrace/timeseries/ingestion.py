"""Rows into a time series, many at a time. Touches: PostgreSQL by COPY, on a pooled connection of asyncpg's.

Partitions are made for what comes, before it comes, in a transaction of their own: an ingestion holds no lock that
others wait for. What is older than the series keeps or further in the future than it looks ahead is refused and
counted, since no partition may be made for a moment that is a mistake.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from tailrace.clock import Clock, SystemClock
from tailrace.db import Database
from tailrace.db.errors import from_sqlstate, translated
from tailrace.errors import DatabaseError, SchemaError, SettingsError
from tailrace.events import Observer, RowsIngested
from tailrace.schema import Patience
from tailrace.schema.sql_text import identifier, qualified, type_name
from tailrace.timeseries.catalogue import are_partitions
from tailrace.timeseries.partitions import Span, span_of
from tailrace.timeseries.plain import PlainEngine, make_partitions
from tailrace.timeseries.series import TimeSeries
from tailrace.timeseries.timescale import TimescaleEngine

__all__ = ["BATCH", "Ingested", "ingest"]

BATCH = 50_000
"""Rows of one transaction: at some 150 bytes a row, 8 MB in this process."""

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the rows.

    Args:
        rows: how many are in the series now.
        refused: reason -> how many are not: ``undated`` (no time, or one without a zone), ``expired`` (older than the
            series keeps), ``future`` (further ahead than it looks).
    """

    rows: int
    refused: Mapping[str, int]


async def ingest(
    database: Database,
    series: TimeSeries,
    rows: Iterable[Row] | AsyncIterable[Row],
    *,
    columns: Sequence[str] | None = None,
    batch: int = BATCH,
    copy: bool = True,
    clock: Clock | None = None,
    observer: Observer | None = None,
    progress: Callable[[int], None] | None = None,
) -> Ingested:
    """Add ``rows``, a batch a transaction; summaries and caches know of each batch when it is committed.

    Args:
        database: with asyncpg's driver.
        series: applied to the database.
        rows: tuples in the order of ``columns``; any number, since one batch is held at a time.
        columns: by default all of the table's.
        batch: rows of one transaction.
        copy: False: by INSERT of arrays, for a server or proxy that does not speak COPY.
        clock: time, for what is too old or too new.
        observer: told when it is done.
        progress: told after each batch how many rows are in.

    Raises:
        SettingsError: the database is used by another driver than asyncpg.
        ConstraintError: a row breaks a constraint. Its batch is not in, earlier ones are.
        SchemaError: a value does not fit its column, or the series is not applied. The same.
        DatabaseError: one of its kinds. The same.
    """
    if batch < 1:
        raise ValueError(f"a batch of {batch} rows")
    clock = clock or SystemClock()
    began = clock.monotonic()
    names = tuple(columns) if columns is not None else tuple(series.source.c.keys())
    writer = _Writer(database, series, names, clock)
    writer.copying = copy
    async with _connected(database) as driver:
        engine, standing = await series.find(driver)
    if standing != "series":
        raise SchemaError(f"{series.tables[0]} is no time series yet: run apply first")
    writer.partitioned = isinstance(engine, PlainEngine)
    async for piece in _batches(rows, batch):
        await writer.write(piece)
        if progress is not None:
            progress(writer.rows)
    if isinstance(engine, TimescaleEngine) and writer.oldest is not None:
        async with _connected(database) as driver:
            telling = await engine.refresh(driver, Patience(clock=clock), clock.now(), writer.oldest)
        if telling is not None:
            # By a session: whoever is told that the rows are in reads days that have them.
            await database.run(lambda session: session.execute(text(telling)), idempotent=True)
    if observer is not None:
        refused = sum(writer.refused.values())
        observer(RowsIngested(series.name, writer.rows, refused, clock.monotonic() - began))
    return Ingested(writer.rows, dict(writer.refused))


async def _batches(rows: Iterable[Row] | AsyncIterable[Row], size: int) -> AsyncIterator[list[Row]]:
    piece: list[Row] = []
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            piece.append(row)
            if len(piece) == size:
                yield piece
                piece = []
    else:
        for row in rows:
            piece.append(row)
            if len(piece) == size:
                yield piece
                piece = []
    if piece:
        yield piece


@dataclass(slots=True)
class _Writer:
    database: Database
    series: TimeSeries
    columns: tuple[str, ...]
    clock: Clock
    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    known: set[Span] = field(default_factory=set)
    partitioned: bool = True
    copying: bool = True
    oldest: datetime | None = None

    async def write(self, piece: list[Row]) -> None:
        accepted, spans = self._sort_out(piece)
        if not accepted:
            return
        try:
            await self._make_room(spans - self.known)
            await self._copy(accepted)
        except asyncpg.CheckViolationError:
            # A partition that was there is gone: dropped by age, perhaps, since the batch was looked at.
            accepted, spans = self._sort_out(accepted)
            await self._make_room(spans, by_name=False)
            await self._copy(accepted)
        self.known |= spans
        self.rows += len(accepted)
        first = min(span.start for span in spans)
        self.oldest = first if self.oldest is None else min(self.oldest, first)

    def _sort_out(self, piece: list[Row]) -> tuple[list[Row], set[Span]]:
        """The rows that may be in, and the spans of partitions that they need."""
        place = self.columns.index(self.series.time)
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        width, keep = self.series.partition, self.series.keep
        # All of a partition that is still there may be written.
        oldest = datetime.min.replace(tzinfo=UTC) if keep is None else span_of(now - keep, width).start
        newest = now + self.series.ahead
        accepted: list[Row] = []
        spans: set[Span] = set()
        span = Span(newest, newest)
        for row in piece:
            moment = row[place]
            if not isinstance(moment, datetime) or moment.tzinfo is None:
                self.refused["undated"] += 1
            elif moment < oldest:
                self.refused["expired"] += 1
            elif moment > newest:
                self.refused["future"] += 1
            else:
                accepted.append(row)
                if moment not in span:
                    span = span_of(moment, width)
                    spans.add(span)
        return accepted, spans

    async def _copy(self, rows: list[Row]) -> None:
        """One transaction, again after a passing failure; whoever is told that it is done reads it."""

        async def work(session: AsyncSession) -> None:
            connection = await session.connection()
            # The lock that COPY takes: a statement that begins the transaction, and says that it writes.
            await connection.execute(text(f"LOCK TABLE ONLY {self.series.sql.sql_name} IN ROW EXCLUSIVE MODE"))
            driver = await _driver(connection)
            schema, table = self.series.sql.schema, self.series.source.name
            with _translating():
                if self.copying:
                    await driver.copy_records_to_table(table, records=rows, columns=self.columns, schema_name=schema)
                else:
                    await driver.execute(self._insertion(), *map(list, zip(*rows, strict=True)))

        await self.database.run(work)

    def _insertion(self) -> str:
        columns = [self.series.source.c[name] for name in self.columns]
        names = ", ".join(identifier(column.name) for column in columns)
        arrays = ", ".join(f"${n}::{type_name(column)}[]" for n, column in enumerate(columns, 1))
        return f"INSERT INTO {self.series.sql.sql_name} ({names}) SELECT * FROM unnest({arrays})"

    async def _make_room(self, spans: set[Span], *, by_name: bool = True) -> None:
        """Make the partitions that are not there; ``by_name``: one of a span's name will do."""
        if not (spans and self.partitioned):
            return
        sql = self.series.sql
        async with _connected(self.database) as driver:
            names = [qualified(sql.schema, sql.partition_name(span)) for span in spans]
            if not (by_name and await are_partitions(driver, sql.sql_name, names)):
                await make_partitions(driver, sql, spans)


@asynccontextmanager
async def _connected(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the pool, as asyncpg has it; in a transaction only if one is begun on it."""
    with _translating():
        async with database.engine.connect() as connection:
            yield await _driver(connection)


async def _driver(connection: AsyncConnection) -> asyncpg.Connection:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, asyncpg.Connection):
        raise SettingsError("rows are ingested by asyncpg: use an address that begins with postgresql://")
    return driver


@contextmanager
def _translating() -> Iterator[None]:
    """Errors of what goes past SQLAlchemy, in Tailrace's terms; where a row has no partition, as it is."""
    try:
        with translated():
            yield
    except asyncpg.CheckViolationError as error:
        if error.constraint_name is None:
            raise
        raise _translated(error) from error
    except asyncpg.PostgresError as error:
        raise _translated(error) from error
    except (ValueError, OverflowError, TypeError) as error:  # what asyncpg says of a value that it cannot encode
        raise SchemaError(f"a value does not fit its column: {error}") from error


def _translated(error: asyncpg.PostgresError) -> DatabaseError:
    known = from_sqlstate(error.sqlstate, getattr(error, "constraint_name", None))
    return known or SchemaError(f"{error} ({error.sqlstate})")
