"""A database with one watched table, and what hears of commits to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path

import asyncpg
import pytest
from tests.integration.db.replica_server import ReplicaServer
from tests.integration.db.replicated import SETTINGS, numbers

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db import Database
from tailrace.embedded import PostgresServer
from tailrace.settings import DatabaseSettings

TABLE = """
CREATE TABLE calls (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int NOT NULL, minutes int NOT NULL);
CREATE FUNCTION tag_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tailrace.outbox (tag) SELECT DISTINCT 'calls:user_id=' || user_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER tag_insert AFTER INSERT ON calls REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
CREATE TRIGGER tag_delete AFTER DELETE ON calls REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
"""


@pytest.fixture
async def watched(database_url: str) -> str:
    """The address of a database whose ``calls`` writes tags for each user."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
        await connection.execute(TABLE)
    finally:
        await connection.close()
    return database_url


class Heard:
    """Hears of commits; may refuse."""

    def __init__(self) -> None:
        self.commits: list[tuple[frozenset[str], int]] = []
        self.answer = True
        self.gate: asyncio.Event | None = None

    async def stamped(self, tags: frozenset[str], xids: frozenset[int]) -> bool:
        self.commits.append((tags, len(xids)))
        if self.gate is not None:
            await self.gate.wait()
        return self.answer


@pytest.fixture
async def database(watched: str) -> AsyncIterator[Database]:
    """A database that tells ``Heard`` of its commits."""
    made = Database(watched, settings=DatabaseSettings(pool_size=2, max_overflow=1, retry_time=0))
    made.commits = Heard()
    yield made
    await made.aclose()


@pytest.fixture
def heard(database: Database) -> Heard:
    assert isinstance(database.commits, Heard)
    return database.commits


@pytest.fixture
def reads() -> Iterator[ReadContext]:
    """The standing of the request that the test plays."""
    context = ReadContext()
    held = current_reads.set(context)
    yield context
    current_reads.reset(held)


@pytest.fixture(scope="module")
def primary(server_folder: Path) -> Iterator[PostgresServer]:
    """A primary of a module's own."""
    with PostgresServer(server_folder / f"primary{next(numbers)}", settings=SETTINGS) as server:
        server.execute("CREATE TABLE t (n bigint)", "tailrace")
        server.execute("INSERT INTO t VALUES (0)", "tailrace")
        yield server


@pytest.fixture
def replica(server_folder: Path, primary: PostgresServer) -> Iterator[ReplicaServer]:
    """A replica that follows it."""
    with ReplicaServer(server_folder / f"replica{next(numbers)}", primary, SETTINGS) as server:
        yield server
