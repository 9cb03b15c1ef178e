"""A database with the queue's tables, and one in which jobs leave marks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tailrace.db import Database
from tailrace.jobs import install_tables


@pytest.fixture
async def queue_url(database_url: str) -> str:
    """The address of a database that has the queue's tables and a table for marks."""
    await install_tables(database_url)
    database = Database(database_url)
    async with database.session() as session:
        await session.execute(
            text("CREATE TABLE marks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, job bigint, mark text)")
        )
        await session.commit()
    await database.aclose()
    return database_url


@pytest.fixture
async def database(queue_url: str) -> AsyncIterator[Database]:
    """It."""
    database = Database(queue_url)
    yield database
    await database.aclose()
