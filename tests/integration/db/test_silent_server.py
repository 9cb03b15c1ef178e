"""A server that falls silent costs those who wait for it a time limit, and nobody anything once it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Integer, column, insert, select, table, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.db.replicated import frozen, numbers
from tests.pooling import running_pgbouncer
from tests.waiting import wait_until

from tailrace.db import Database, liveness
from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseUnavailableError, OutcomeUnknownError
from tailrace.settings import DatabaseSettings
from tailrace.testing.line import Line

DRIVERS = ["postgresql", "postgresql+psycopg"]
FOREVER = 60.0
"""Seconds in which all that is silent must have been given up; it would stay silent for longer."""
ONE = text("SELECT 1 AS n")
PID = text("SELECT pg_backend_pid()")
SETTINGS = DatabaseSettings(
    pool_size=3, max_overflow=0, statement_timeout=30, answer_timeout=1.0, connect_timeout=2.0, retry_time=0
)

Way = Callable[[Database], Awaitable[object]]


async def fetch(database: Database) -> object:
    return await database.fetch(ONE)


async def read(database: Database) -> object:
    async with database.session(read_only=True) as session:
        return await session.scalar(ONE)


async def transact(database: Database) -> object:
    return await database.run(lambda session: session.execute(text("INSERT INTO t VALUES (1)")))


WAYS: list[Way] = [fetch, read, transact]


@asynccontextmanager
async def opened(url: str, driver: str, settings: DatabaseSettings = SETTINGS) -> AsyncIterator[Database]:
    """A database all of whose connections are there, and have been used a moment ago."""
    database = Database(url.replace("postgresql", driver, 1), settings=settings)
    try:
        for _ in range(4):  # compiled statements are kept by then
            await asyncio.gather(*[fetch(database) for _ in range(SETTINGS.pool_size)])
        yield database
    finally:
        await database.aclose()


async def all_fail(database: Database, ways: list[Way]) -> None:
    """Everyone is told, in time, that the database is not there."""
    async with asyncio.timeout(FOREVER):
        outcomes = await asyncio.gather(*[way(database) for way in ways], return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailableError] * len(ways), outcomes


async def is_whole(database: Database) -> None:
    """Everything works, on as many connections as ever."""
    assert database.pool_state().in_use == 0
    held = [database.session() for _ in range(SETTINGS.pool_size)]
    pids = {await (await each.__aenter__()).scalar(PID) for each in held}
    assert len(pids) == SETTINGS.pool_size
    for each in held:
        await each.__aexit__(None, None, None)
    assert (await database.fetch(ONE))[0].n == 1


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_frozen_server_is_given_up(primary: PostgresServer, driver: str) -> None:
    """By who reads, who writes, by kept statements and others, and by who comes while it is frozen still."""
    async with opened(primary.url(), driver) as database:
        with frozen(primary):
            await all_fail(database, WAYS)
            await all_fail(database, WAYS)
        await is_whole(database)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_line_that_swallows_everything_is_given_up(primary: PostgresServer, driver: str) -> None:
    """The server's own limit does not reach the client then."""
    async with Line(primary.port) as line:
        url = primary.url().replace(f":{primary.port}/", f":{line.port}/")
        async with opened(url, driver) as database:
            line.silent = True
            await all_fail(database, WAYS)
            line.silent = False
            await is_whole(database)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_rested_connections_are_not_asked_for_long(
    primary: PostgresServer, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is asked whether it lives has as long to answer as a new one to be made, however long statements may
    take."""
    patient = SETTINGS.model_copy(update={"answer_timeout": 600.0, "connect_timeout": 1.0})
    async with opened(primary.url(), driver, patient) as database:
        monkeypatch.setattr(liveness, "REST", 0.0)
        with frozen(primary):
            await all_fail(database, [fetch])
        await is_whole(database)


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("known", [False, True])
async def test_a_commit_that_was_not_answered_is_not_said_to_have_failed(
    primary: PostgresServer, driver: str, known: bool
) -> None:
    """Nobody knows what became of it; before the commit everybody does."""
    async with Line(primary.port) as line:
        url = primary.url().replace(f":{primary.port}/", f":{line.port}/")
        async with opened(url, driver) as database:

            async def write(session: AsyncSession) -> None:
                await session.execute(text("INSERT INTO t VALUES (2)"))
                line.silent = True
                if known:
                    await session.execute(ONE)

            with pytest.raises(DatabaseUnavailableError) as caught:
                await asyncio.wait_for(database.run(write), FOREVER)
            assert isinstance(caught.value, OutcomeUnknownError) is not known
            line.silent = False
            await is_whole(database)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_single_write_that_was_not_answered_may_have_been_done(primary: PostgresServer, driver: str) -> None:
    """It commits itself, so that there is no moment at which it has certainly not."""
    inserted = insert(table("t", column("n", Integer))).values(n=3).returning(column("n", Integer)).cte()
    statement = select(inserted.c.n)
    async with Line(primary.port) as line:
        url = primary.url().replace(f":{primary.port}/", f":{line.port}/")
        async with opened(url, driver) as database:
            for _ in range(4):
                assert [tuple(row) for row in await database.write(statement)] == [(3,)]
            line.silent = True
            with pytest.raises(OutcomeUnknownError):
                await asyncio.wait_for(database.write(statement), FOREVER)
            line.silent = False
            await is_whole(database)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_frozen_server_behind_pgbouncer_is_given_up(
    primary: PostgresServer, server_folder: Path, driver: str
) -> None:
    """PgBouncer itself answers, and goes on asking for as long as it is told to."""
    number = next(numbers)
    folder = server_folder / f"silent{number}"
    folder.mkdir(mode=0o755)
    pooled = SETTINGS.model_copy(update={"pgbouncer": True})
    with running_pgbouncer(primary.url(), folder, ["server_connect_timeout = 2"]) as url:
        async with opened(url, driver, pooled) as database:
            with frozen(primary):
                await all_fail(database, WAYS)

            async def answers() -> bool:
                try:
                    return bool(await database.fetch(ONE))
                except DatabaseUnavailableError:
                    return False

            await wait_until(answers)
            assert database.pool_state().in_use == 0
