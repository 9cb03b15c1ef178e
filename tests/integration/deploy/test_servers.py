"""PgBouncer and Valkey as they are deployed: the very files, with the addresses of a test."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from tests.integration.deploy.conftest import DeployedValkey, deployed_pgbouncer

from tailrace.db import Database
from tailrace.embedded import PostgresServer
from tailrace.settings import DatabaseSettings

CLIENTS = 1000
SERVER_CONNECTIONS = 20
FILES = 4096
LARGE = 70
"""Values of 4 MB that are more than fits."""
PATIENT = DatabaseSettings(pgbouncer=True, pool_size=10, max_overflow=0, connect_timeout=60, pool_timeout=60)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for a socket of each client, in this process and in those that it starts."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        hard = max(hard, FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    except ValueError:
        pytest.skip(f"no process here may have more than {before[1]} open files; {FILES} are needed")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def pgbouncer(many_files: None, postgres: PostgresServer, database_url: str, server_folder: Path) -> Iterator[str]:
    """The deployed PgBouncer before the test's database."""
    with deployed_pgbouncer(database_url, server_folder) as address:
        yield address


@asynccontextmanager
async def connected(url: str, number: int) -> AsyncIterator[list[asyncpg.Connection]]:
    """So many clients, opened a few at a time, so that none has to wait for long."""
    turn, clients = asyncio.Semaphore(20), []

    async def connect() -> None:
        async with turn:
            clients.append(await asyncpg.connect(url, statement_cache_size=0, timeout=60))

    try:
        await asyncio.gather(*[connect() for _ in range(number)])
        yield clients
    finally:
        for client in clients:
            client.terminate()


async def test_a_thousand_clients_on_twenty_server_connections(pgbouncer: str, database_url: str) -> None:
    """1,000 clients at once are all answered, Tailrace among them by one setting; the server never has more than 20
    connections of theirs, however many databases they ask for, and a client too many is refused."""
    direct = await asyncpg.connect(database_url, server_settings={"application_name": "watcher"})
    counted: list[int] = []
    over = asyncio.Event()

    async def watch() -> None:
        """Count the server's connections until the load is over."""
        while not over.is_set():
            counted.append(
                await direct.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                    " AND datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    database = Database(pgbouncer, settings=PATIENT)
    try:
        async with connected(pgbouncer, CLIENTS - 10) as clients:
            await asyncio.gather(*[database.fetch(text("SELECT pg_sleep(0.01)")) for _ in range(10)])
            watching = asyncio.create_task(watch())
            answers = await asyncio.gather(
                *[client.fetchval("SELECT $1::int FROM pg_sleep(0.002)", n) for n, client in enumerate(clients)],
                *[database.fetch(text("SELECT CAST(:n AS int) AS n"), {"n": n}) for n in range(100)],
            )
            over.set()
            await watching
            assert answers[: len(clients)] == list(range(len(clients)))
            assert [rows[0].n for rows in answers[len(clients) :]] == list(range(100))
            assert 0 < max(counted) <= SERVER_CONNECTIONS
            with pytest.raises(asyncpg.PostgresError, match="no more connections allowed"):
                async with connected(pgbouncer, 11):
                    pass
    finally:
        await database.aclose()
        await direct.close()


def test_valkey_is_bounded_and_comes_back_with_what_it_had(server_folder: Path) -> None:
    """What is on disk survives a kill; of more than 256 MB something goes, and nothing is refused."""
    folder = server_folder / "deployed-valkey"
    with DeployedValkey(folder, settings={"appendonly": "yes"}) as server:
        assert server.execute("SET", "kept", "x") == "OK"
        assert server.execute("WAITAOF", "1", "0", "10000", timeout=15) == "2"
        server.kill()
        server.start()
        assert server.execute("EXISTS", "kept") == "1"
        for number in range(LARGE):
            value = "return server.call('SET', KEYS[1], string.rep('x', 4 * 1024 * 1024))"
            assert server.execute("EVAL", value, "1", f"large-{number}", timeout=60) == "OK"
        assert 0 < int(server.execute("DBSIZE")) < LARGE
