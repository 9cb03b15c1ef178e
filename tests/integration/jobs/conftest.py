"""A database with the queue's tables, and one in which jobs leave marks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.conftest import Originals

from tailrace.db import Database
from tailrace.jobs import install_tables


async def install(url: str) -> None:
    """The queue's tables, and one for marks."""
    await install_tables(url)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE TABLE marks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job bigint, mark text)"
    )
    await connection.close()


@pytest.fixture
def beginning(originals: Originals) -> str | None:
    """Tests begin with a database that has the queue's tables and a table for marks."""
    originals.url("jobs_queue", install)
    return "jobs_queue"


@pytest.fixture
def queue_url(database_url: str) -> str:
    """Its address."""
    return database_url


@pytest.fixture
async def database(queue_url: str) -> AsyncIterator[Database]:
    """It."""
    database = Database(queue_url)
    yield database
    await database.aclose()
