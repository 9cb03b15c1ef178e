"""What is done for the Trading Desk in the background."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
from tests.services.jobs import carrying_out
from tests.services.trading_desk.endpoints.conftest import Service

from tailrace.schema import reconcile
from tailrace.timeseries import make_room
from tailrace_services.trading_desk.jobs import JOBS, maintain_signals, reconcile_signals
from tailrace_services.trading_desk.signal_series import SIGNALS

ROW = "INSERT INTO signals (time, asset, signal_type, channel, price) VALUES ($1, 'GOLD', 'buy', 'oanda', 1.5)"
KEPT = "SELECT time FROM signals WHERE asset = 'GOLD'"
COMMENT = "SELECT obj_description(to_regclass($1), 'pg_class') AS comment, to_regclass($1) IS NOT NULL AS there"
PAST_THE_TRIGGERS = """
    DO $$ BEGIN
        SET LOCAL session_replication_role = replica;
        UPDATE signals SET price = price + 5 WHERE asset = 'XAUUSD';
    END $$
"""


async def test_signals_are_looked_after(optimised: Service) -> None:
    """Days to come have room, those of a month ago take less, those of two years ago go; what has drifted is mended."""
    now = datetime.now(UTC)
    old, expired, coming = now - timedelta(days=40), now - timedelta(days=740), now + timedelta(days=6)
    connection = await asyncpg.connect(optimised.database_url)
    try:
        for moment in (old, expired):
            await make_room(connection, SIGNALS, moment, moment)
            await connection.execute(ROW, moment)
    finally:
        await connection.close()
    await optimised.sql(PAST_THE_TRIGGERS)
    assert (await reconcile(optimised.database_url, [SIGNALS]))[0].keys > 0
    async with carrying_out(JOBS, optimised.database_url) as (_, carry_out):
        await carry_out(reconcile_signals)
        assert (await reconcile(optimised.database_url, [SIGNALS]))[0].keys == 0
        await carry_out(maintain_signals)
    assert [row["time"] for row in await optimised.sql(KEPT)] == [old]
    found = [(await optimised.sql(COMMENT, f"signals_{day:%Y%m%d}"))[0] for day in (old, expired, now, coming)]
    assert [tuple(row) for row in found] == [
        ("tailrace: shrunken", True),
        (None, False),
        (None, True),
        (None, True),
    ]
