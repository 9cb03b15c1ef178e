"""The small service with everything declared, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.conftest import Originals
from tests.integration.schema.world import declared, make_tables

from tailrace.schema import Declaration, apply
from tailrace.schema.declarations import Maintenance


@pytest.fixture
def beginning(request: pytest.FixtureRequest, originals: Originals) -> str | None:
    """What the test asks for besides: everything applied, the tables, or nothing."""
    if not {"tables_url", "kept_url"} & set(request.fixturenames):
        return None
    tables = "schema_tables"
    originals.url(tables, make_tables)
    if "kept_url" not in request.fixturenames:
        return tables
    way: Maintenance = request.getfixturevalue("maintenance")
    originals.url(f"schema_{way}", lambda url: apply(url, declared(way)), like=tables)
    return f"schema_{way}"


@pytest.fixture
def tables_url(database_url: str) -> str:
    """A database with the service's tables and nothing of Tailrace's."""
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
def kept_url(database_url: str, maintenance: Maintenance) -> str:
    """A database with everything applied."""
    return database_url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, as psql has one."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()
