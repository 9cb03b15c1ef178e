"""One declaration on plain PostgreSQL and on TimescaleDB: the same answers, and those of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.timeseries.timescaledb_server import connected, running_timescaledb
from tests.integration.timeseries.world import TODAY, compare, make_series, row, some_rows

from tailrace.db import Database
from tailrace.errors import SchemaError
from tailrace.schema import Patience, apply, plan, reconcile
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import TimeSeries, catch_up, ingest, maintain

DAY = timedelta(days=1)
MIDNIGHT = TODAY.replace(hour=0)
Answers = list[list[tuple[Any, ...]]]
READ = (
    "SELECT time, asset, channel, price, volume, note FROM signals ORDER BY 1, 2, 3, 4, 5, 6",
    "SELECT asset, day, signals, quoted, large, volume, low, high, open, open_at, close, close_at FROM signals_daily "
    "ORDER BY 1, 2",
    "SELECT asset, channel, day, total, row_count FROM signals_by_channel ORDER BY 1, 2, 3",
    "SELECT day, sum(signals) FROM signals_daily WHERE asset = 'gold' AND day >= '2026-03-08' GROUP BY 1 ORDER BY 1",
)


@pytest.fixture(scope="module")
def timescaledb_url() -> Iterator[str]:
    """A started TimescaleDB, in memory."""
    with running_timescaledb() as url:
        yield url


class Story:
    """The same things done to one engine; what it answers after each."""

    def __init__(self, url: str, series: TimeSeries, *, copy: bool) -> None:
        self.url, self.series, self.copy = url, series, copy
        self.clock = FakeClock(TODAY.timestamp())
        self.answers: list[Answers] = []

    async def tell(self) -> list[Answers]:
        """From nothing to retention."""
        await apply(self.url, [self.series], patience=Patience(clock=self.clock))
        assert not await plan(self.url, [self.series])
        await self.read()
        self.clock = FakeClock((TODAY - DAY).timestamp())
        await self.add(some_rows(MIDNIGHT - 6 * DAY, 2500))
        await self.read()
        self.clock = FakeClock(TODAY.timestamp())
        await self.add(
            [row(MIDNIGHT - 3 * DAY, price="0.01"), row(MIDNIGHT - 1 * DAY - timedelta(hours=1), price="99")]
        )
        await self.add([row(TODAY), row(TODAY + 2 * DAY), row(TODAY - 30 * DAY), row(TODAY + 30 * DAY)])
        await self.read()
        await self.do("INSERT INTO signals VALUES ('2026-03-06 05:00:00Z', 'gold', 'oanda', 3.5, 9, 'beside')")
        async with connected(self.url) as connection:
            await catch_up(connection, self.series, MIDNIGHT - 4 * DAY, patience=Patience(clock=self.clock))
        await self.read()
        await self.do("DELETE FROM signals WHERE asset = 'gold' AND volume IN (3, 7)")
        await self.do("UPDATE signals SET price = price * 2 WHERE channel = 'lmax' AND time < '2026-03-08'")
        await self.do("DELETE FROM signals WHERE asset = 'oil' AND time >= '2026-03-07' AND time < '2026-03-08'")
        done = await maintain(self.url, self.series, clock=self.clock)
        assert (done.shrunken, done.dropped) == (3, 1)
        await self.read(compared=False)
        await self.add([row(MIDNIGHT - 3 * DAY, asset="oil", price="7"), row(TODAY, asset="tin", price=None)])
        await self.read(compared=False)
        again = await maintain(self.url, self.series, clock=self.clock)
        assert (again.shrunken, again.dropped) == (0, 0)
        assert [drift.keys for drift in await reconcile(self.url, [self.series])] == [0, 0]
        return self.answers

    async def add(self, rows: Sequence[Any]) -> None:
        """By ingestion."""
        database = Database(self.url)
        try:
            await ingest(database, self.series, rows, clock=self.clock, copy=self.copy, batch=1000)
        finally:
            await database.aclose()

    async def do(self, statement: str) -> None:
        """As psql would."""
        async with connected(self.url) as connection:
            await connection.execute(statement)

    async def read(self, *, compared: bool = True) -> None:
        """Keep all answers; compare them with the rows, unless days are gone whose figures stay."""
        async with connected(self.url) as connection:
            self.answers.append([[tuple(r) for r in await connection.fetch(statement)] for statement in READ])
            if compared:
                await compare(connection, self.series)


async def test_both_engines_give_the_same_answers(
    database_url: str, timescaledb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late rows, deletions, updates, shrinking, retention: no answer tells which engine gave it."""
    monkeypatch.setenv("PGSSLMODE", "disable")  # the server answers the question for TLS in no way that asyncpg knows
    series = make_series(compress_after=2 * DAY, keep=5 * DAY)
    plain = await Story(database_url, series, copy=True).tell()
    kept = make_series(compress_after=2 * DAY, keep=5 * DAY, engine="timescaledb")
    timescale = await Story(timescaledb_url, kept, copy=False).tell()
    for ours, theirs in zip(plain, timescale, strict=True):
        assert theirs == ours
    assert len(plain[1][0]) == 2500
    with pytest.raises(SchemaError, match="is kept by timescaledb"):
        await plan(timescaledb_url, [make_series(engine="postgresql")])
