"""Signals on plain PostgreSQL and on TimescaleDB: the same pages and days, and those of the signals themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.timeseries.timescaledb_server import connected, running_timescaledb

from tailrace.core.cursor import Cursors
from tailrace.db import Database
from tailrace.schema import Patience, apply, reconcile
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import ingest, maintain
from tailrace_services.trading_desk.api.signals import DAYS, DayFilter, SignalFilter, day_view
from tailrace_services.trading_desk.api.signals import SIGNALS as SIGNAL_PAGES
from tailrace_services.trading_desk.baseline.signals import days_of
from tailrace_services.trading_desk.generator.signals import SIGNAL_COLUMNS, make_market, signal_lines
from tailrace_services.trading_desk.generator.vocabulary import load_vocabulary
from tailrace_services.trading_desk.importer.ticks import parse_line, read_days
from tailrace_services.trading_desk.optimised.days import DayQuery
from tailrace_services.trading_desk.optimised.signals import SignalQuery
from tailrace_services.trading_desk.signal_series import SIGNALS

TICKS = Path(__file__).parents[4].parent / "shared/data/ticks/xauusd_2014_05.tar.gz"
SECRET = Cursors([b"a secret of this test's own"])
ANCHOR = datetime(2014, 7, 15, 12, tzinfo=UTC)
EVERY = int(os.environ.get("TAILRACE_TEST_TICKS_EVERY", "1000"))
"""One of so many real ticks is taken: some 2,000 of 2 million, of every day; 1 takes all of them, and ten minutes."""
GENERATED = 2_000
Row = tuple[Any, ...]

DAYS_ASKED: list[tuple[DayFilter, str]] = [
    (DayFilter("XAUUSD"), "-day"),
    (DayFilter("XAUUSD", channel="oanda"), "day"),
    (DayFilter("EURUSD", signal_type="quote"), "-day"),
    (DayFilter("WTI", channel="desk chat", signal_type="buy"), "day"),
    (DayFilter("XAUUSD", since=date(2014, 5, 9), before=date(2014, 6, 20)), "-day"),
    (DayFilter("nothing"), "-day"),
]
PAGES_ASKED: list[tuple[SignalFilter, str]] = [
    (SignalFilter(), "-time"),
    (SignalFilter(asset="XAUUSD", channel="oanda"), "time"),
    (SignalFilter(signal_type="sell", before=ANCHOR - timedelta(days=9)), "-time"),
    (SignalFilter(asset="COCOA", since=ANCHOR - timedelta(days=20)), "time"),
]


def real_ticks() -> list[Row]:
    """Quotes of gold of a month."""
    rows = []
    for day in read_days(TICKS):
        for line in day.lines[::EVERY]:
            tick = parse_line(line)
            bid, ask = Decimal(tick.bid), Decimal(tick.ask)
            moment = day.start + timedelta(microseconds=tick.microseconds)
            rows.append((moment, day.asset, "quote", day.channel, (bid + ask) / 2, bid, ask, None, None, None))
    return [(number, *row) for number, row in enumerate(rows, GENERATED + 1)]


def generated_signals() -> list[Row]:
    """Quotes and advice of another month."""
    market = make_market(load_vocabulary(), 1, int(ANCHOR.timestamp()))
    rows = []
    for line in signal_lines(market, 1, GENERATED, slice(0, GENERATED)):
        number, moment, *names, message = (None if v == "\\N" else v for v in line.rstrip("\n").split("\t"))
        words, prices = names[:3], [None if price is None else Decimal(price) for price in names[3:]]
        assert number is not None
        assert moment is not None
        rows.append((int(number), datetime.fromisoformat(moment), *words, *prices, message))
    return rows


@pytest.fixture(scope="module")
def timescaledb_url() -> Iterator[str]:
    """A started TimescaleDB, in memory."""
    with running_timescaledb() as url:
        yield url


async def pages(database: Database, make: Any, query: Any) -> list[Any]:
    """Three pages of what ``query`` gives, one behind the other."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(3):
        asked = make(cursor)
        chosen = query(asked)
        page = await database.read(lambda connection, asked=asked, chosen=chosen: chosen.fetch(connection, asked))  # type: ignore[misc]
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


class Desk:
    """One engine's database."""

    def __init__(self, url: str, *, copy: bool) -> None:
        self.url, self.copy = url, copy
        self.clock = FakeClock(ANCHOR.timestamp())

    async def take_in(self, rows: Sequence[Row]) -> None:
        """As any batch of signals."""
        database = Database(self.url)
        batch = min(20_000, max(200, len(rows) // 10))
        try:
            done = await ingest(
                database, SIGNALS, rows, columns=SIGNAL_COLUMNS, clock=self.clock, copy=self.copy, batch=batch
            )
        finally:
            await database.aclose()
        assert (done.rows, done.refused) == (len(rows), {})

    async def answers(self) -> list[Any]:
        """What the service's own statements give; its days are those of the original's, counted from the signals."""
        database = Database(self.url)
        found: list[Any] = []
        try:
            for wanted, sort in DAYS_ASKED:
                kept = await pages(
                    database,
                    lambda cursor, sort=sort: asked_of(DAYS, sort, cursor, 20),
                    lambda asked, wanted=wanted: DayQuery.of(wanted, asked),
                )
                live = [day_view(*row) for row in await database.fetch(days_of(wanted))]
                live.sort(key=lambda view: view.day, reverse=sort == "-day")
                assert kept == live[:60], wanted
                found.append(kept)
            for listed, sort in PAGES_ASKED:
                found.append(
                    await pages(
                        database,
                        lambda cursor, sort=sort: asked_of(SIGNAL_PAGES, sort, cursor, 200),
                        lambda asked, listed=listed: SignalQuery.of(listed, asked, ANCHOR),
                    )
                )
        finally:
            await database.aclose()
        return found


def asked_of(wanted: Any, sort: str, cursor: str | None, limit: int) -> Any:
    """A request for a page."""
    return wanted.request(sort=sort, cursor=cursor, limit=limit, filters={}, identity=None, cursors=SECRET)


async def story(desk: Desk) -> list[list[Any]]:
    """Generated signals, real ones that come late, then what is done each night, and a few more."""
    await apply(desk.url, [SIGNALS], patience=Patience(clock=desk.clock))
    generated, real = generated_signals(), real_ticks()
    await desk.take_in(generated)
    told = [await desk.answers()]
    await desk.take_in(real)
    told.append(await desk.answers())
    done = await maintain(desk.url, SIGNALS, clock=desk.clock)
    assert done.shrunken > 10
    assert done.dropped == 0
    told.append(await desk.answers())
    async with connected(desk.url) as connection:
        await connection.execute("DELETE FROM signals WHERE signal_type = 'buy' AND asset = 'EURUSD'")
    late = [(number + 100_000, *row) for number, *row in real[::97]]
    await desk.take_in(late)
    await maintain(desk.url, SIGNALS, clock=desk.clock)
    told.append(await desk.answers())
    assert [drift.keys for drift in await reconcile(desk.url, [SIGNALS])] == [0]
    return told


@pytest.mark.skipif(not TICKS.is_file(), reason="the ticks are not at ../shared/data/ticks")
async def test_both_engines_answer_as_the_signals_do(
    database_url: str, timescaledb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days equal what the signals say, on both; and no answer tells which engine gave it."""
    monkeypatch.setenv("PGSSLMODE", "disable")  # the server answers the question for TLS in no way that asyncpg knows
    plain = await story(Desk(database_url, copy=True))
    async with connected(timescaledb_url) as connection:
        await connection.execute("CREATE EXTENSION timescaledb")  # which is what decides
    timescale = await story(Desk(timescaledb_url, copy=False))
    assert timescale == plain
    assert plain[1] == plain[2]
    assert len(plain[1][0]) > 30
    assert sum(map(len, plain[1])) > 800
    async with connected(timescaledb_url) as connection:
        hyper = "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = 'signals'"
        assert await connection.fetchval(hyper) == 1
