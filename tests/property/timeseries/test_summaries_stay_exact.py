"""Random writes of every kind: after each, the summaries and the rows agree."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.timeseries.world import TODAY, compare, insert, make_series

from tailrace.schema import Patience, apply
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import maintain

DAY = timedelta(days=1)
MIDNIGHT = TODAY.replace(hour=0)
ASSETS = st.sampled_from(["gold", "silver"])
MOMENTS = st.builds(
    lambda days, part: MIDNIGHT + days * DAY + part,
    st.integers(0, 3),
    st.sampled_from([timedelta(0), timedelta(hours=5), timedelta(days=1, microseconds=-1)]),
)
PRICES = st.sampled_from([None, Decimal(0), Decimal("-2.5"), Decimal("1.10"), Decimal(7)])
ROWS = st.tuples(MOMENTS, ASSETS, st.sampled_from(["oanda", "lmax"]), PRICES, st.integers(0, 9), st.none())
CONDITIONS = st.sampled_from(["asset = 'gold'", "volume > 4", "price IS NULL", "price < 1", "channel = 'lmax'", "true"])
CHANGES = st.sampled_from(
    ["price = -price", "asset = 'oil'", "time = time + interval '1 hour'", "volume = volume + 3", "price = NULL"]
)
WRITES = st.one_of(
    st.tuples(st.just("insert"), st.lists(ROWS, min_size=1, max_size=8)),
    st.tuples(st.just("delete"), CONDITIONS),
    st.tuples(st.just("update"), st.tuples(CHANGES, CONDITIONS)),
    st.tuples(st.just("age"), st.integers(0, 4)),
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WRITES, min_size=2, max_size=8))
def test_summaries_equal_their_rows(database_url: str, writes: list[tuple[str, Any]]) -> None:
    """Inserts, late ones, deletions, updates, shrinking and retention, in any order."""
    asyncio.run(_write(database_url, writes))


async def _write(url: str, writes: list[tuple[str, Any]]) -> None:
    series = make_series(compress_after=DAY, keep=3 * DAY)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("DROP TABLE IF EXISTS signals, signals_daily, signals_by_channel")
        await connection.execute("DROP SCHEMA IF EXISTS tailrace CASCADE")
        await apply(url, [series], patience=Patience(clock=FakeClock(TODAY.timestamp())))
        oldest = MIDNIGHT
        for kind, what in writes:
            oldest = await _do(connection, url, series, kind, what, oldest)
            await compare(connection, series, since=oldest)
    finally:
        await connection.close()


async def _do(
    connection: asyncpg.Connection, url: str, series: Any, kind: str, what: Any, oldest: datetime
) -> datetime:
    """One of the writes; returns since when there are partitions."""
    if kind == "insert":
        rows = [row for row in what if row[0] >= oldest]
        if rows:
            text, columns = insert(rows)
            await connection.execute(text, *columns)
    elif kind == "delete":
        await connection.execute(f"DELETE FROM signals WHERE {what}")
    elif kind == "update":
        await connection.execute(f"UPDATE signals SET {what[0]} WHERE {what[1]}")
    else:
        now = TODAY + what * DAY
        await maintain(url, series, clock=FakeClock(now.timestamp()))
        oldest = max(oldest, MIDNIGHT + (what - 3) * DAY)
    return oldest
