"""Every service's tables: created, removed and created again; what is declared is what is there."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from tests.services.data.samples import Sample, each_service

from tailrace.errors import DatabaseUnavailableError
from tailrace_services.data.connection import driver_url

pytestmark = each_service


async def test_up_down_up(database_url: str, sample: Sample) -> None:
    """Upgrading, downgrading and upgrading again ends with exactly the declared tables."""
    migrations = sample.data.migrations
    assert await migrations.migrate(database_url) == await migrations.migrate(database_url)
    assert await migrations.differences(database_url) == []
    await migrations.revert(database_url)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert await _fetch(database_url, tables) == [("alembic_version",)]
    await migrations.migrate(database_url)
    assert await migrations.differences(database_url) == []


async def test_declared_and_migrated_agree_to_the_letter(database_url: str, sample: Sample) -> None:
    """What Alembic's comparison does not look at agrees as well: checks, deletions, generated columns."""
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
        "AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1"
    )
    generated = (
        "SELECT attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef "
        "JOIN pg_attribute ON adrelid = attrelid AND adnum = attnum WHERE attgenerated <> '' ORDER BY 1"
    )
    await sample.data.migrations.migrate(database_url)
    migrated = await _fetch(database_url, constraints), await _fetch(database_url, generated)
    await sample.data.migrations.revert(database_url)
    engine = create_async_engine(driver_url(database_url, "+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(sample.data.migrations.metadata.create_all)
    await engine.dispose()
    assert migrated == (await _fetch(database_url, constraints), await _fetch(database_url, generated))
    assert any("ON DELETE " in str(definition) for _, definition in migrated[0])


async def test_processes_that_start_together_migrate_once(database_url: str, sample: Sample) -> None:
    """Several processes may migrate at the same time; all succeed."""
    revisions = await asyncio.gather(*(sample.data.migrations.migrate(database_url) for _ in range(4)))
    assert len(set(revisions)) == 1
    assert await sample.data.migrations.differences(database_url) == []


async def test_no_secondary_indexes(database_url: str, sample: Sample) -> None:
    """The original was slow for want of indexes: there are only those of primary keys and unique constraints."""
    await sample.data.migrations.migrate(database_url)
    bare = (
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE relnamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
    )
    assert await _fetch(database_url, bare) == []
    of_largest = f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{sample.largest}'::regclass"
    assert await _fetch(database_url, of_largest) == [(f"{sample.largest}_pkey",)]


async def test_no_server_is_one_clear_error(sample: Sample) -> None:
    """A server that is not there is a Tailrace error, not a driver's."""
    with pytest.raises(DatabaseUnavailableError, match="cannot connect"):
        await sample.data.migrations.migrate("postgresql://nobody@127.0.0.1:1/none")


async def _fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
