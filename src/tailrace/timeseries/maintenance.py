"""What a time series needs now and then. Touches: PostgreSQL, on a direct connection.

Everything can be run at any time, by several processes at once (they queue on an advisory lock), and again after a
crash: what an interrupted run left is finished first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tailrace.clock import Clock, SystemClock
from tailrace.errors import SchemaError
from tailrace.events import Observer, SeriesMaintained
from tailrace.schema import Patience
from tailrace.schema.connection import Connection, Database, connect, exclusive
from tailrace.timeseries.partitions import due
from tailrace.timeseries.plain import PlainEngine, make_partitions
from tailrace.timeseries.series import TimeSeries
from tailrace.timeseries.upkeep import PlainUpkeep

__all__ = ["Maintained", "catch_up", "maintain", "make_room"]


@dataclass(frozen=True, slots=True)
class Maintained:
    """What was done.

    Args:
        made: partitions made ahead.
        shrunken: partitions that take less room now.
        dropped: partitions dropped by age.
        saved: bytes that shrinking freed, indexes included.
    """

    made: int = 0
    shrunken: int = 0
    dropped: int = 0
    saved: int = 0


async def maintain(
    database: Database,
    series: TimeSeries,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    patience: Patience | None = None,
) -> Maintained:
    """Make partitions ahead, drop those that are too old, shrink those that are old enough.

    On TimescaleDB also bring its aggregates up to date with what was written late.

    Args:
        database: the server's own address (not a transaction pooler's), or an engine that has it.
        series: applied to the database.
        clock: time, for what is old.
        observer: told when it is done.
        patience: lock timeout and retries: nobody waits for it longer than ``lock_timeout``.

    Raises:
        SchemaError: the series is not applied.
        DatabaseTimeoutError: a partition was busy at every attempt; run again later.
        DatabaseUnavailableError: no connection, or it was lost; run again.
    """
    clock = clock or SystemClock()
    patience = patience or Patience()
    began = clock.monotonic()
    now = datetime.fromtimestamp(clock.now(), UTC)
    async with connect(database, lock_timeout=patience.lock_timeout) as connection, exclusive(connection):
        engine, standing = await series.find(connection)
        if standing != "series":
            raise SchemaError(f"{series.tables[0]} is no time series yet: run apply first")
        if isinstance(engine, PlainEngine):
            upkeep = PlainUpkeep(connection, engine, patience)
            made = await engine.make_ahead(connection, now)
            dropped = await upkeep.drop_expired(now, series.keep)
            shrunken, saved = await upkeep.shrink(now, series.compress_after)
        else:
            made = 0  # TimescaleDB makes them for the rows that come
            if await engine.refresh(connection, patience, clock.now()) is not None:
                await engine.tell(connection)
            dropped = await engine.drop_expired(connection, now)
            shrunken, saved = await engine.compress(connection, now, series.compress_after)
    done = Maintained(made, shrunken, dropped, saved)
    if observer is not None:
        duration = clock.monotonic() - began
        observer(SeriesMaintained(series.name, made, shrunken, dropped, saved, duration))
    return done


async def make_room(connection: Connection, series: TimeSeries, since: datetime, until: datetime) -> int:
    """Make the partitions for rows from ``since`` to ``until``, which come by other ways than `ingest`.

    Args:
        connection: of asyncpg's; in its transaction, if there is one, they are made.
        series: where it is no series yet, or TimescaleDB keeps it, there is nothing to do.
        since, until: the first and the last moment, aware.

    Returns:
        How many were made.

    Cost: 3 round trips, and for each partition that is made some ten.
    """
    engine, standing = await series.find(connection)
    if standing != "series" or not isinstance(engine, PlainEngine):
        return 0
    return await make_partitions(connection, series.sql, due(since, until - since, series.partition))


async def catch_up(
    connection: Connection, series: TimeSeries, since: datetime, *, patience: Patience | None = None
) -> None:
    """Have the summaries show rows that came by other ways than `ingest`, also in days that are over.

    Args:
        connection: of asyncpg's, outside a transaction.
        series: where plain PostgreSQL keeps it, its summaries show them already.
        since: the first of their moments, aware.
        patience: lock timeout and retries, and time.

    Cost: 2 round trips; on TimescaleDB the days from ``since`` on are brought up to date.
    """
    engine, standing = await series.find(connection)
    if standing != "series" or isinstance(engine, PlainEngine):
        return
    patience = patience or Patience()
    if await engine.refresh(connection, patience, patience.clock.now(), since) is not None:
        await engine.tell(connection)
