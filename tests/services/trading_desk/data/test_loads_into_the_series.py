"""What is generated and imported goes into the series as well as into a plain table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
from tests.services.trading_desk.data.test_ticks import YESTERDAY, zipped

from tailrace.schema import apply, reconcile
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.importer import import_ticks
from tailrace_services.trading_desk.migrations import migrate
from tailrace_services.trading_desk.optimised import objects
from tailrace_services.trading_desk.signal_series import SIGNALS

HELD = "SELECT count(*) AS signals, min(id) AS first, max(id) AS last, count(DISTINCT time::date) AS days FROM signals"


async def test_partitions_are_made_for_what_is_loaded(database_url: str, tmp_path: Path) -> None:
    """Rows of another month replace those that were generated, ticks come behind them; days are those of the rows."""
    anchor = datetime(2026, 3, 31, 12, tzinfo=UTC)
    await migrate(database_url)
    await generate(database_url, Scale("test", 20, 2, 2_000), 1, anchor)
    await apply(database_url, objects())
    connection = await asyncpg.connect(database_url)
    try:
        before = await connection.fetchrow(HELD)
        await generate(database_url, Scale("test", 20, 2, 3_000), 1, anchor - timedelta(days=100), replace=True)
        assert before is not None
        assert (before["signals"], before["first"], before["last"]) == (2_000, 1, 2_000)
        replaced = await connection.fetchrow(HELD)
        assert replaced is not None
        assert (replaced["signals"], replaced["first"], replaced["last"]) == (3_000, 1, 3_000)
        assert (await reconcile(database_url, [SIGNALS]))[0].keys == 0
        report = await import_ticks(database_url, [zipped(tmp_path / "oanda/tick/xauusd/day_quote.zip")])
        assert (report.imported, report.first) == (3, YESTERDAY)
        kept = "SELECT sum(signals)::int FROM signals_daily WHERE day = $1 AND channel = 'oanda'"
        assert await connection.fetchval(kept, YESTERDAY) == 3
        assert (await reconcile(database_url, [SIGNALS]))[0].keys == 0
    finally:
        await connection.close()
