"""A series on plain PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import asyncpg
import pytest
from tests.integration.timeseries.world import TODAY, compare, insert, make_series, row, some_rows

from tailrace.db import Database
from tailrace.errors import ConstraintError, DatabaseUnavailableError, SchemaError
from tailrace.schema import Patience, Watch, apply, plan, reconcile, status
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import TimeSeries, ingest, maintain, make_room

DAY = timedelta(days=1)
MIDNIGHT = TODAY.replace(hour=0)
PARTITIONS = """
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'signals'::regclass ORDER BY 1
"""


async def partitions(connection: asyncpg.Connection) -> list[str]:
    """Names of what is part of the table."""
    return [record[0] for record in await connection.fetch(PARTITIONS)]


async def test_apply_makes_table_partitions_and_summaries_and_then_has_nothing_to_do(
    url: str, series: TimeSeries, connection: asyncpg.Connection
) -> None:
    """Applying twice is applying once."""
    names = [f"signals_202603{day}" for day in range(10, 18)]
    assert await partitions(connection) == names
    assert not await plan(url, [series])
    kept = {(o["kind"], o["name"], o["state"]) for o in await status(url)}
    assert kept == {
        ("series", "public.signals", "ready"),
        ("summary", "public.signals_daily", "ready"),
        ("summary", "public.signals_by_channel", "ready"),
    }


async def test_a_dry_run_changes_nothing(database_url: str, series: TimeSeries, connection: asyncpg.Connection) -> None:
    """What would be done is shown, its statements too, and is not done."""
    planned = await apply(database_url, [series], dry_run=True)
    assert "PARTITION BY RANGE" in planned.render(sql=True)
    assert await connection.fetchval("SELECT to_regclass('signals')") is None


STATEMENTS = (
    "DELETE FROM signals WHERE volume > 4",
    "DELETE FROM signals",
    "UPDATE signals SET price = price + 1 WHERE channel = 'lmax'",
    "UPDATE signals SET asset = 'oil', volume = NULL WHERE asset = 'gold'",
    "UPDATE signals SET time = time + interval '1 day' WHERE note = 'late'",
    "UPDATE signals_20260310 SET price = -price",
    "DELETE FROM signals_20260310 WHERE asset = 'gold'",
    "TRUNCATE signals_20260310",
    "TRUNCATE signals",
    "DELETE FROM signals WHERE false",
    "INSERT INTO signals_20260311 SELECT time + interval '1 day', asset, channel, price, volume FROM signals_20260310",
)


@pytest.mark.parametrize("isolation", ["read_committed", "serializable"])
async def test_summaries_equal_their_rows_after_any_statement(
    url: str, series: TimeSeries, connection: asyncpg.Connection, isolation: str
) -> None:
    """Late rows, deletions, updates, moves between days, writes to a partition by its name: all count."""
    text, columns = insert(some_rows(MIDNIGHT, 600))
    await connection.execute(text, *columns)
    for statement in STATEMENTS:
        transaction = connection.transaction(isolation=isolation)
        await transaction.start()
        await connection.execute(statement)
        await compare(connection, series)
        await transaction.rollback()
    assert await compare(connection, series) > 8


async def test_rows_without_a_partition_are_refused_in_clear_words(url: str, connection: asyncpg.Connection) -> None:
    """There is no default partition that would take them in silence."""
    text, columns = insert([row(TODAY + 400 * DAY)])
    with pytest.raises(asyncpg.CheckViolationError, match="no partition of relation"):
        await connection.execute(text, *columns)


async def test_a_default_partition_is_refused(url: str, series: TimeSeries, connection: asyncpg.Connection) -> None:
    """It would take rows that are out of range, and neither retention nor summaries would know of them."""
    await connection.execute("CREATE TABLE rest PARTITION OF signals DEFAULT")
    with pytest.raises(SchemaError, match="detach it"):
        await plan(url, [series])


async def test_ingestion_makes_partitions_for_what_comes(
    database: Database, series: TimeSeries, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """Rows of years ago find their partitions made, and their summaries kept."""
    rows = some_rows(MIDNIGHT - 400 * DAY, 3000)
    done = await ingest(database, series, rows, clock=clock, batch=1000)
    assert (done.rows, done.refused) == (3000, {})
    assert await connection.fetchval("SELECT count(*) FROM signals") == 3000
    assert "signals_20250203" in await partitions(connection)
    assert await compare(connection, series) > 20


async def test_ingestion_takes_any_order_of_columns_and_rows_as_they_come(
    database: Database, series: TimeSeries, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """Rows may be made one by one while they are written."""

    async def rows() -> object:
        for made in some_rows(MIDNIGHT, 250):
            await asyncio.sleep(0)
            yield made[1], made[0], made[2]

    done = await ingest(database, series, rows(), columns=("asset", "time", "channel"), clock=clock, batch=100)  # type: ignore[arg-type]
    assert done.rows == 250 == await connection.fetchval("SELECT count(*) FROM signals WHERE price IS NULL")


async def test_ingestion_says_that_the_database_is_out_of_reach(series: TimeSeries, clock: FakeClock) -> None:
    """Whoever sends rows while it restarts is told so, as of any other statement."""
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailableError):
        await ingest(nowhere, series, [row(TODAY)], clock=clock)
    await nowhere.aclose()


async def test_ingestion_counts_what_it_refuses(database: Database, clock: FakeClock, url: str) -> None:
    """No partition is made for a moment that is a mistake."""
    kept = make_series(keep=30 * DAY)
    rows = [
        row(TODAY),
        row(MIDNIGHT - 30 * DAY),
        row(MIDNIGHT - 30 * DAY - timedelta(microseconds=1)),
        row(TODAY + 7 * DAY),
        row(TODAY + 7 * DAY + timedelta(microseconds=1)),
        row(datetime(2026, 3, 10, 12)),  # noqa: DTZ001 - a moment without a zone is what is refused
        row(None),  # type: ignore[arg-type]
    ]
    done = await ingest(database, kept, rows, clock=clock)
    assert (done.rows, done.refused) == (3, {"expired": 1, "future": 1, "undated": 2})


async def test_a_row_that_breaks_a_constraint_ends_its_batch_only(
    database: Database, series: TimeSeries, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """Batches before it are in, and nothing of its own."""
    rows = some_rows(MIDNIGHT, 25)
    rows[15] = row(TODAY, asset=None)  # type: ignore[arg-type]
    with pytest.raises(ConstraintError):
        await ingest(database, series, rows, clock=clock, batch=10)
    assert await connection.fetchval("SELECT count(*) FROM signals") == 10
    await compare(connection, series)


async def test_a_value_that_does_not_fit_is_an_error_of_ours(
    database: Database, series: TimeSeries, clock: FakeClock
) -> None:
    """Whoever calls sees one tree of errors."""
    with pytest.raises(SchemaError):
        await ingest(database, series, [row(TODAY, volume=2**40)], clock=clock)


async def test_retention_drops_whole_partitions_and_keeps_their_summaries(
    database: Database, url: str, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """Figures outlive the rows; days that still have rows stay equal to them."""
    series = make_series(keep=3 * DAY)
    await ingest(database, make_series(), some_rows(MIDNIGHT - 6 * DAY, 3000), clock=clock)
    days = await connection.fetchval("SELECT count(DISTINCT day) FROM signals_daily")
    done = await maintain(url, series, clock=clock)
    assert (done.made, done.dropped) == (0, 3)
    assert min(await partitions(connection)) == "signals_20260307"
    assert await connection.fetchval("SELECT count(DISTINCT day) FROM signals_daily") == days
    assert await connection.fetchval("SELECT min(time) FROM signals") >= MIDNIGHT - 3 * DAY
    assert [drift.keys for drift in await reconcile(url, [series])] == [0, 0]
    assert await maintain(url, series, clock=clock) == type(done)()


async def test_time_makes_partitions_ahead(
    url: str, series: TimeSeries, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """A day later there is one more."""
    assert (await maintain(url, series, clock=clock)).made == 0
    assert (await maintain(url, series, clock=FakeClock((TODAY + DAY).timestamp()))).made == 1
    assert max(await partitions(connection)) == "signals_20260318"


async def test_shrunken_partitions_hold_the_same_rows_in_less_room(
    database: Database, url: str, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """Rows, summaries, late rows, deletions, retention: as before, and the planner still reads only what it needs."""
    series = make_series(compress_after=2 * DAY)
    rows = some_rows(MIDNIGHT - 5 * DAY, 12_000, step=timedelta(seconds=70))
    await ingest(database, series, rows, clock=clock)
    before = await connection.fetch("SELECT * FROM signals ORDER BY 1, 2, 3, 4, 5, 6")
    done = await maintain(url, series, clock=clock)
    assert done.shrunken == 3
    assert done.saved > 0
    assert await connection.fetch("SELECT * FROM signals ORDER BY 1, 2, 3, 4, 5, 6") == before
    assert not await plan(url, [series])
    assert (await maintain(url, series, clock=clock)).shrunken == 0
    await ingest(database, series, some_rows(MIDNIGHT - 4 * DAY, 100), clock=clock)
    await connection.execute("DELETE FROM signals WHERE time < $1 AND asset = 'gold'", MIDNIGHT - 3 * DAY)
    await connection.execute("TRUNCATE signals_20260305")
    assert await compare(connection, series) > 10
    used = await connection.fetch("EXPLAIN SELECT * FROM signals WHERE time >= '2026-03-06' AND time < '2026-03-07'")
    assert {text for line in used for text in line[0].split() if text.startswith("signals_2026")} == {
        "signals_20260306"
    }


async def test_a_summary_that_is_new_is_filled_while_others_write(
    database: Database, url: str, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """It counts what was there before it and what comes while it is made."""
    bare, full = make_series(summaries=()), make_series()
    await connection.execute("DROP TABLE signals, signals_daily, signals_by_channel")
    await connection.execute("DELETE FROM tailrace.objects")
    await apply(url, [bare])
    await ingest(database, bare, some_rows(MIDNIGHT - 3 * DAY, 2000), clock=clock)
    going = asyncio.Event()

    async def write() -> None:
        while not going.is_set():
            await ingest(database, full, some_rows(MIDNIGHT - 2 * DAY, 50), clock=clock)

    writer = asyncio.create_task(write())
    done = await apply(url, [full])
    going.set()
    await writer
    assert [(step.kind, step.action) for step in done.steps] == [
        ("series", "replace"),
        ("summary", "create"),
        ("summary", "create"),
    ]
    assert await compare(connection, full) > 10


DAMAGE = (
    "ALTER TABLE signals DISABLE TRIGGER tailrace_series_insert",
    "DROP TRIGGER tailrace_series_delete ON signals_20260310",
    "DROP TABLE signals_daily",
    "UPDATE tailrace.objects SET state = 'building' WHERE name = 'public.signals_daily'",
)


async def test_damage_is_seen_and_put_right(url: str, series: TimeSeries, connection: asyncpg.Connection) -> None:
    """What somebody dropped or disabled is found by looking, and made again, filled."""
    text, columns = insert(some_rows(MIDNIGHT, 100))
    await connection.execute(text, *columns)
    for damage in DAMAGE:
        await connection.execute(damage)
        assert await plan(url, [series])
        await apply(url, [series])
        assert not await plan(url, [series])
        await connection.execute(text, *columns)
        await connection.execute("DELETE FROM signals_20260310 WHERE volume = 3")
        assert await compare(connection, series) > 5


async def test_drift_is_found_and_repaired(url: str, series: TimeSeries, connection: asyncpg.Connection) -> None:
    """Writes that fire no trigger, and edits of the summary itself."""
    text, columns = insert(some_rows(MIDNIGHT, 400))
    await connection.execute(text, *columns)
    await connection.execute("SET session_replication_role = replica")
    await connection.execute("DELETE FROM signals WHERE asset = 'oil'")
    await connection.execute("UPDATE signals_daily SET low = -1 WHERE asset = 'gold'")
    found = await reconcile(url, [series])
    assert [(drift.rollup, drift.keys > 0, drift.repaired) for drift in found] == [
        ("public.signals_daily", True, False),
        ("public.signals_by_channel", True, False),
    ]
    assert [drift.repaired for drift in await reconcile(url, [series], repair=True)] == [True, True]
    assert [drift.keys for drift in await reconcile(url, [series])] == [0, 0]
    await compare(connection, series)


async def test_summaries_are_watched_and_rows_are_not(
    database_url: str, series: TimeSeries, clock: FakeClock, connection: asyncpg.Connection
) -> None:
    """What is written is told by the summary that changes; triggers on the rows would take the place of its own."""
    with pytest.raises(SchemaError, match="watch one of its summaries"):
        await plan(database_url, [series, Watch(series.source, key="asset")])
    watch = Watch(series.summary("signals_daily"), key="asset")
    await apply(database_url, [series, watch], patience=Patience(clock=clock))
    assert not await plan(database_url, [series, watch])
    await connection.execute("DELETE FROM tailrace.outbox")
    text, columns = insert([row(TODAY), row(TODAY, asset="oil")])
    await connection.execute(text, *columns)
    told = " ".join(str(dict(noted)) for noted in await connection.fetch("SELECT * FROM tailrace.outbox"))
    assert "asset=gold" in told
    assert "asset=oil" in told
    await compare(connection, series)


async def test_what_is_kept_of_dropped_rows_ends(
    url: str, series: TimeSeries, clock: FakeClock, database: Database, connection: asyncpg.Connection
) -> None:
    """Retention tells whoever watches a summary, while its figures stay as they are."""
    watched = [series, Watch(series.summary("signals_daily"), key="asset")]
    await apply(url, watched, patience=Patience(clock=clock))
    await ingest(database, series, some_rows(MIDNIGHT - 3 * DAY, 100), clock=clock)
    figures = await connection.fetch("SELECT * FROM signals_daily ORDER BY asset, day")
    await connection.execute("DELETE FROM tailrace.outbox")
    keeping = make_series(keep=DAY)
    assert (await maintain(url, keeping, clock=clock)).dropped == 1
    assert await connection.fetchval("SELECT count(*) FROM signals") == 0
    assert await connection.fetch("SELECT * FROM signals_daily ORDER BY asset, day") == figures
    tags = {record["tag"] for record in await connection.fetch("SELECT tag FROM tailrace.outbox")}
    assert tags == {f"signals_daily:asset={asset}" for asset in ("gold", "silver", "oil")}


async def test_room_is_made_for_other_loads(url: str, series: TimeSeries, connection: asyncpg.Connection) -> None:
    """From the first moment's day to the last one's, in the transaction that loads; once is enough."""
    first, last = TODAY - 400 * DAY, TODAY - 398 * DAY
    async with connection.transaction():
        assert await make_room(connection, series, first, last) == 3
        text, columns = insert([row(first), row(last)])
        await connection.execute(text, *columns)
    assert await make_room(connection, series, first, last) == 0
    assert await compare(connection, series) == 4
