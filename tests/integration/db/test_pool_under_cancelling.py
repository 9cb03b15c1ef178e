"""Whatever becomes of those who use it, a pool ends as it began: as many connections, all free, all clean."""

from __future__ import annotations

import asyncio
import gc
from random import Random
from urllib.parse import urlsplit

import asyncpg
import pytest
from sqlalchemy import text
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.errors import DatabaseError, PoolTimeoutError
from tailrace.settings import DatabaseSettings
from tailrace.testing.line import Line

DRIVERS = ["postgresql", "postgresql+psycopg"]
SIZE = 3
CALLERS = 120
KILL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'tailrace' AND datname = current_database() ORDER BY random() LIMIT 1
"""
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tailrace' AND datname = current_database()"


async def use(database: Database, draw: Random, number: int) -> None:
    """A transaction that leaves everything it can behind, if nobody cleans up after it."""
    async with database.session() as session:
        await session.execute(text("SELECT set_config('tailrace.mark', :mark, true)"), {"mark": str(number)})
        await session.execute(text("SELECT pg_advisory_xact_lock_shared(7), pg_sleep(:s)"), {"s": draw.random() / 50})
        found = await session.scalar(text("SELECT current_setting('tailrace.mark')"))
        assert found == str(number)
        await session.commit()


async def cancelled(task: asyncio.Task[None], draw: Random) -> None:
    """Once or twice, at any moment of its life."""
    await asyncio.sleep(draw.random() / 10)
    for _ in range(draw.choice((1, 1, 2, 3))):
        task.cancel()
        for _ in range(draw.choice((0, 1, 2, 20))):
            await asyncio.sleep(0)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_nothing_is_lost_and_nothing_is_left(database_url: str, driver: str) -> None:
    """Callers are cancelled once, twice and more, at any moment, and servers' processes are killed meanwhile."""
    draw = Random(7)
    settings = DatabaseSettings(pool_size=SIZE, max_overflow=1, pool_timeout=60, statement_timeout=600)
    database = Database(database_url.replace("postgresql", driver, 1), settings=settings)
    watching = await asyncpg.connect(database_url)
    try:
        tasks = [asyncio.create_task(use(database, draw, number)) for number in range(CALLERS)]
        unlucky = [asyncio.create_task(cancelled(task, draw)) for task in tasks if draw.random() < 0.6]
        for _ in range(5):
            await watching.execute(KILL)
            await asyncio.sleep(0.01)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*unlucky)
        odd = [o for o in outcomes if o is not None and not isinstance(o, asyncio.CancelledError | DatabaseError)]
        assert odd == []
        assert not any(isinstance(outcome, PoolTimeoutError) for outcome in outcomes)  # there was room all the time
        assert outcomes.count(None) > 0
        # A connection of psycopg's that was cancelled as it was made is closed when its exception is forgotten.
        for kept in (outcomes, tasks, unlucky):
            kept.clear()
        gc.collect()
        await wait_until(lambda: database.pool_state().in_use == 0)
        assert database.pool_state().limit == SIZE + 1
        await asyncio.gather(*[use(database, draw, number) for number in range(4 * SIZE)])
        state = database.pool_state()
        assert (state.in_use, state.waiting) == (0, 0)
        assert 1 <= state.idle <= SIZE + 1

        async def only_the_pools() -> bool:
            return bool(await watching.fetchval(OPEN) == state.idle)

        await wait_until(only_the_pools)
        assert not await watching.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    finally:
        await watching.close()
        await database.aclose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_who_waits_gets_the_room_of_who_left_while_connecting(database_url: str, driver: str) -> None:
    """Nothing is given back then, so that nobody would be woken by it."""
    address = urlsplit(database_url)
    async with Line(address.port or 0) as line:
        line.silent = True
        url = address._replace(scheme=driver, netloc=f"{address.username}:{address.password}@127.0.0.1:{line.port}")
        settings = DatabaseSettings(pool_size=1, max_overflow=0, pool_timeout=600, connect_timeout=600)
        database = Database(url.geturl(), settings=settings)
        connecting = asyncio.create_task(database.fetch(text("SELECT 1")))
        await wait_until(lambda: len(line._connections) == 1)
        waiting = asyncio.create_task(database.fetch(text("SELECT 2")))
        await wait_until(lambda: database.pool_state().waiting == 1)
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        line.silent = False
        assert [tuple(row) for row in await asyncio.wait_for(waiting, 60)] == [(2,)]
        assert database.pool_state().in_use == 0
        await database.aclose()
