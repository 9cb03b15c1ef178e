"""Statements of requests that were cancelled end in the database, too."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.settings import DatabaseSettings

LONG = 600.0
"""Seconds, far beyond those for which a test waits."""
SLEEP = text("SELECT pg_sleep(:seconds) /* slept */")
POOL = 2


@pytest.fixture(params=["postgresql+asyncpg", "postgresql+psycopg"])
async def database(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Database]:
    async with closing_database(database_url.replace("postgresql", request.param, 1)) as database:
        yield database


@asynccontextmanager
async def closing_database(url: str) -> AsyncIterator[Database]:
    settings = DatabaseSettings(pool_size=POOL, max_overflow=0, pool_timeout=LONG, statement_timeout=LONG)
    database = Database(url, settings=settings)
    yield database
    await database.aclose()


@pytest.fixture
async def watching(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def sleep(database: Database, told: list[int] | None = None) -> None:
    """Ask for a statement without end; with ``told``, after the server process has been stopped and named there."""
    async with database.session() as session:
        await session.execute(SLEEP, {"seconds": 0.0})  # prepared from here on: one message more begins it
        if told is not None:
            pid = await session.scalar(text("SELECT pg_backend_pid()"))
            os.kill(pid, signal.SIGSTOP)
            told.append(pid)
        await session.execute(SLEEP, {"seconds": LONG})


async def sleeping(connection: asyncpg.Connection) -> int:
    """How many such statements are under way."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%slept%' AND state = 'active' AND pid <> $1"
    return int(await connection.fetchval(query, connection.get_server_pid()))


async def end(tasks: list[asyncio.Task[None]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_leaves_a_full_pool_ends_its_statements(database: Database, watching: asyncpg.Connection) -> None:
    """Those under way and those of callers still waiting for a connection; the pool is whole afterwards."""
    tasks = [asyncio.create_task(sleep(database)) for _ in range(3 * POOL)]
    await wait_until(lambda: _is(sleeping(watching), POOL))
    for task in tasks:
        task.cancel()
    await wait_until(lambda: _is(sleeping(watching), 0))
    assert {type(outcome) for outcome in await end(tasks)} == {asyncio.CancelledError}
    async with database.session() as one, database.session() as another:
        assert await one.scalar(text("SELECT 1")) == await another.scalar(text("SELECT 1"))


async def test_a_server_that_has_yet_to_begin_is_asked_again(database: Database, watching: asyncpg.Connection) -> None:
    """A request to cancel that comes before the statement has been read cancels nothing: the next one does."""
    await cancelled_too_early(database, watching, times=1)


async def test_who_is_cancelled_again_asks_again_as_well(database_url: str, watching: asyncpg.Connection) -> None:
    """By asyncpg, whose own request ends with the connection; psycopg forgets what it would have to name."""
    async with closing_database(database_url) as database:
        await cancelled_too_early(database, watching, times=2)


async def test_psycopg_gives_up_a_connection_that_was_cancelled_twice(
    database_url: str, watching: asyncpg.Connection
) -> None:
    """It no longer waits for the end of the statement then, so nobody else may get what the statement still holds."""
    stopped: list[int] = []
    async with closing_database(database_url.replace("postgresql", "postgresql+psycopg", 1)) as database:
        tasks = [asyncio.create_task(sleep(database, stopped)) for _ in range(POOL)]
        try:
            await wait_until(lambda: len(stopped) == POOL)
            for _ in range(2):
                for task in tasks:
                    task.cancel()
                await asyncio.sleep(0.02)  # each ends its own waiting: the second one psycopg's for the first
            assert {type(outcome) for outcome in await end(tasks)} == {asyncio.CancelledError}
            async with asyncio.timeout(60), database.session() as one, database.session() as another:
                pids = [await session.scalar(text("SELECT pg_backend_pid()")) for session in (one, another)]
                assert set(pids).isdisjoint(stopped)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        await watching.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", stopped)


async def cancelled_too_early(database: Database, watching: asyncpg.Connection, *, times: int) -> None:
    """Cancel callers whose servers have been stopped, then let the servers go on."""
    stopped: list[int] = []
    tasks = [asyncio.create_task(sleep(database, stopped)) for _ in range(POOL)]
    try:
        await wait_until(lambda: len(stopped) == POOL)
        await asyncio.sleep(0.05)  # the statements are on their way; nothing tells when a stopped server has them
        for _ in range(times):
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0.02)  # and so are the first requests to cancel
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    await wait_until(lambda: _is(_remaining(watching, stopped), 0))
    await end(tasks)
    async with database.session() as session:
        assert await session.scalar(text("SELECT 1")) == 1


async def _is(found: Any, wanted: int) -> bool:
    return bool(await found == wanted)


async def _remaining(connection: asyncpg.Connection, pids: list[int]) -> int:
    """Server processes that have not ended: a connection that was cancelled is given up."""
    return int(await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1)", pids))
