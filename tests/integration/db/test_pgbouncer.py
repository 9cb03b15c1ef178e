"""Through a real PgBouncer in transaction mode, whose single server connection passes from client to client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from tests.integration.db.query_world import TOTALS, Customer, Process, make_shop, processes, run
from tests.pooling import running_pgbouncer
from tests.waiting import wait_until

from tailrace.db import Database, cached_query
from tailrace.db.engine import make_relay_engine
from tailrace.errors import DatabaseTimeoutError, DatabaseUnavailableError
from tailrace.settings import DatabaseSettings

MODE = DatabaseSettings(pgbouncer=True, statement_timeout=0.5, retry_time=0)
DRIVERS = ["postgresql", "postgresql+psycopg"]


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg"])
async def test_pgbouncer_in_transaction_mode_works(pgbouncer: str, driver: str) -> None:
    """Many concurrent transactions over one server connection, with the statement timeout in force."""
    url = pgbouncer.replace("postgresql", driver, 1)
    settings = DatabaseSettings(pgbouncer=True, statement_timeout=0.5, retry_time=0)
    database = Database(url, settings=settings)
    rows = await asyncio.gather(*[database.fetch(text("SELECT CAST(:n AS int) AS n"), {"n": n}) for n in range(40)])
    assert [found[0].n for found in rows] == list(range(40))
    with pytest.raises(DatabaseTimeoutError):
        await database.run(lambda session: session.execute(text("SELECT pg_sleep(60)")))
    await database.aclose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_statements_are_not_prepared_under_names_that_others_use(pgbouncer: str, driver: str) -> None:
    """Two clients with equal and different statements in turn, often enough that drivers would prepare them."""
    url = pgbouncer.replace("postgresql", driver, 1)
    both = [Database(url, settings=MODE) for _ in range(2)]
    for turn in range(12):
        for database in both:
            rows = await database.fetch(text(f"SELECT CAST(:n AS int) + {turn % 2} AS n"), {"n": turn})
            assert rows[0].n == turn + turn % 2
    for database in both:
        await database.aclose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_no_setting_and_no_lock_is_left_to_the_next_client(pgbouncer: str, driver: str) -> None:
    """The server connection is handed on as it was: time limits, roles and locks end with their transaction."""
    database = Database(pgbouncer.replace("postgresql", driver, 1), settings=MODE)
    async with database.session() as session, session.begin():
        await session.execute(text("SET LOCAL TIME ZONE 'Asia/Tokyo'"))
        await session.execute(text("SELECT pg_advisory_xact_lock(7)"))
    with pytest.raises(DatabaseTimeoutError):
        await database.run(lambda session: session.execute(text("SELECT pg_sleep(60)")))
    other = await asyncpg.connect(pgbouncer, statement_cache_size=0)
    found = await other.fetchrow(
        "SELECT current_setting('statement_timeout') AS timeout, current_setting('TimeZone') AS zone, "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks"
    )
    assert tuple(found) == ("0", "UTC", 0)
    await other.close()
    await database.aclose()


@asynccontextmanager
async def shop(pgbouncer: str, database_url: str) -> AsyncIterator[Process]:
    """A process whose sessions go through PgBouncer and whose relay does not."""
    await make_shop(database_url)
    direct = SecretStr(database_url)
    async with processes(pgbouncer, pgbouncer=True, direct_url=direct, pool_size=3, statement_timeout=5) as (made,):
        await wait_until(made.freshness.trusted)
        yield made


async def test_writes_are_followed_past_it(pgbouncer: str, database_url: str) -> None:
    """Own writes at once, those of psql within the bound: the relay waits for news on a connection of its own."""
    async with shop(pgbouncer, database_url) as process:

        async def total() -> dict[str, object]:
            async with process.database.session() as session:
                return dict(tuple(row) for row in await session.execute(cached_query(TOTALS)))

        assert (await total())["Bob"] == 5
        process.sent()
        assert (await total())["Bob"] == 5
        assert process.sent() == 1  # the time limit, with which every transaction begins here
        await process.database.run(lambda s: s.execute(text("UPDATE orders SET amount = 6 WHERE id = 3")))
        assert (await total())["Bob"] == 6
        await run(database_url, "UPDATE orders SET amount = 7 WHERE id = 3")

        async def shows() -> bool:
            return (await total())["Bob"] == 7

        await wait_until(shows)
        connected = await asyncpg.connect(database_url)
        names = await connected.fetch(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        )
        assert {"tailrace-relay", "tailrace-catalogue"} <= {row[0] for row in names}
        await connected.close()


async def test_settings_that_others_left_do_not_get_into_results(pgbouncer: str, database_url: str) -> None:
    """A careless client leaves a setting on the server connection; nothing that was read under it is kept."""
    async with shop(pgbouncer, database_url) as process:
        statement = cached_query(text("SELECT name::bytea::text FROM customers WHERE id = 1"))

        async def name() -> str:
            async with process.database.session() as session:
                return str((await session.execute(statement)).scalar_one())

        async with process.database.session() as session:
            await session.execute(cached_query(select(Customer.id)))  # the standing is known
        careless = await asyncpg.connect(pgbouncer, statement_cache_size=0)
        await careless.execute("SET bytea_output = 'escape'")
        assert await name() == "Ada"  # as without a cache
        await careless.execute("RESET bytea_output")
        await careless.close()
        for _ in range(2):
            assert await name() == "\\x416461"


async def test_single_statements_are_not_cached(pgbouncer: str, database_url: str) -> None:
    """Outside a transaction the question and the statement may go to different server connections."""
    async with shop(pgbouncer, database_url) as process:
        for _ in range(2):
            assert len(await process.database.fetch(cached_query(select(Customer.id)))) == 3
        assert process.refusals() == ["transaction"] * 2


async def test_what_looks_all_the_time_goes_past_it(pgbouncer: str, database_url: str) -> None:
    """A connection of the relay, of folding and of the catalogue is the server's own, with its name."""
    past = MODE.model_copy(update={"direct_url": SecretStr(database_url)})
    for settings in (past, MODE):
        engine = make_relay_engine(pgbouncer, settings, "tailrace-fold")
        async with engine.connect() as connection:
            found = (await connection.exec_driver_sql("SHOW application_name")).scalar_one()
            assert (found == "tailrace-fold") is (settings is past)
        await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_who_waits_too_long_for_a_server_is_told_so(database_url: str, server_folder: Path, driver: str) -> None:
    """PgBouncer ends who waited for ``query_wait_timeout``: a database out of reach, and no fault of ours."""
    with running_pgbouncer(database_url, server_folder, ["query_wait_timeout = 1"]) as url:
        database = Database(url.replace("postgresql", driver, 1), settings=MODE)
        holder = await asyncpg.connect(url, statement_cache_size=0)
        async with holder.transaction():
            with pytest.raises(DatabaseUnavailableError):
                await database.fetch(text("SELECT 1"))
        assert (await database.fetch(text("SELECT 1 AS n")))[0].n == 1
        assert database.pool_state().in_use == 0
        await holder.close()
        await database.aclose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_request_to_cancel_ends_no_other_clients_statement(
    database_url: str, server_folder: Path, driver: str
) -> None:
    """Two server connections pass between those who are cancelled all the time and those who are not."""
    with running_pgbouncer(database_url, server_folder, ["default_pool_size = 2", "min_pool_size = 2"]) as url:
        patient = MODE.model_copy(update={"statement_timeout": 60, "pool_timeout": 60, "pool_size": 4})
        steady, fickle = [Database(url.replace("postgresql", driver, 1), settings=patient) for _ in range(2)]

        async def sleep(database: Database, seconds: float) -> int:
            async with database.session() as session:
                return int(await session.scalar(text("SELECT 1 FROM pg_sleep(:s)"), {"s": seconds}) or 0)

        async def left() -> None:
            task = asyncio.create_task(sleep(fickle, 0.03))
            await asyncio.sleep(draw.random() * 0.06)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def staying() -> list[int]:
            return [await sleep(steady, 0.01) for _ in range(25)]

        draw = Random(3)
        leaving = [asyncio.create_task(_repeatedly(left, 25)) for _ in range(4)]
        assert await asyncio.gather(*[staying() for _ in range(4)]) == [[1] * 25] * 4
        await asyncio.gather(*leaving)
        for database in (steady, fickle):
            assert await sleep(database, 0) == 1
            assert database.pool_state().in_use == 0
            await database.aclose()


async def _repeatedly(work: Callable[[], Awaitable[None]], times: int) -> None:
    for _ in range(times):
        await work()
