"""A series that is applied, and connections to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.integration.timeseries.world import TODAY, make_series

from tailrace.db import Database
from tailrace.schema import Patience, apply
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import TimeSeries


@pytest.fixture
def clock() -> FakeClock:
    """Noon of the world's day."""
    return FakeClock(TODAY.timestamp())


@pytest.fixture
def series() -> TimeSeries:
    """Rows are kept for ever, and not shrunken."""
    return make_series()


@pytest.fixture
async def url(database_url: str, series: TimeSeries, clock: FakeClock) -> str:
    """A database with the series applied."""
    await apply(database_url, [series], patience=Patience(clock=clock))
    return database_url


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection, as psql has one."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """The database as a service uses it."""
    opened = Database(url)
    yield opened
    await opened.aclose()
