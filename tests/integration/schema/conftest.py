"""The small service with everything declared, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.integration.schema.world import declared, make_tables

from tailrace.schema import Declaration, apply
from tailrace.schema.declarations import Maintenance


@pytest.fixture
async def tables_url(database_url: str) -> str:
    """A database with the service's tables and nothing of Tailrace's."""
    await make_tables(database_url)
    return database_url


@pytest.fixture(params=["immediate", "deltas"])
def maintenance(request: pytest.FixtureRequest) -> Maintenance:
    """How the rollups are kept: a test that asks for it runs once for each way."""
    way: Maintenance = request.param
    return way


@pytest.fixture
def objects(maintenance: Maintenance) -> list[Declaration]:
    """Everything declared, its rollups kept in one way."""
    return declared(maintenance)


@pytest.fixture
async def kept_url(tables_url: str, objects: list[Declaration]) -> str:
    """A database with everything applied."""
    await apply(tables_url, objects)
    return tables_url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, as psql has one."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()
