"""The service's tables: created, removed and created again; what is declared is what is there."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from tailrace.errors import DatabaseUnavailableError
from tailrace_services.voice_dashboard.migrations import differences, migrate, revert


async def test_up_down_up(database_url: str) -> None:
    """Upgrading, downgrading and upgrading again ends with exactly the declared tables."""
    assert await migrate(database_url) == await migrate(database_url)
    assert await differences(database_url) == []
    await revert(database_url)
    assert await _tables(database_url) == {"alembic_version"}
    await migrate(database_url)
    assert await differences(database_url) == []


async def test_declared_and_migrated_constraints_agree(database_url: str) -> None:
    """Constraints that Alembic's comparison does not look at (checks, what a delete does) agree as well."""
    from sqlalchemy.ext.asyncio import create_async_engine

    from tailrace_services.data.connection import driver_url
    from tailrace_services.voice_dashboard.model import Base

    await migrate(database_url)
    migrated = await _constraints(database_url)
    await revert(database_url)
    engine = create_async_engine(driver_url(database_url, "+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()
    assert migrated == await _constraints(database_url)
    assert any("ON DELETE CASCADE" in definition for definition in migrated.values())


async def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    """Several processes may migrate at the same time; all succeed."""
    revisions = await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    assert len(set(revisions)) == 1
    assert await differences(database_url) == []


async def test_no_secondary_indexes(database_url: str) -> None:
    """The original was slow for want of indexes: there are only those of primary keys and unique constraints."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        bare = await connection.fetch(
            "SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
            "WHERE relnamespace = 'public'::regnamespace "
            "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
        )
        on_large = await connection.fetch(
            "SELECT indexrelid::regclass::text FROM pg_index "
            "WHERE indrelid IN ('calls'::regclass, 'lead_analytics'::regclass) ORDER BY 1"
        )
    finally:
        await connection.close()
    assert bare == []
    assert [row[0] for row in on_large] == ["calls_pkey", "lead_analytics_pkey"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO calls (user_id, agent_id, status) VALUES (2, 1, 'completed')",
        "INSERT INTO calls (user_id, agent_id, status) VALUES (1, 1, 'lost')",
        "INSERT INTO calls (user_id, agent_id, status, duration_minutes) VALUES (1, 1, 'busy', -0.001)",
        "INSERT INTO calls (user_id, agent_id, status, credits_used) VALUES (1, 1, 'busy', -1)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (1, 101)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (1, -1)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (99, 50)",
        "UPDATE agents SET status = 'gone'",
        "UPDATE agents SET user_id = 2",
        "DELETE FROM agents",
        "INSERT INTO users (email, api_key_hash) VALUES ('one@example.com', '')",
    ],
)
async def test_what_cannot_be_is_refused(database_url: str, statement: str) -> None:
    """The database itself refuses rows that make no sense, a call by another user's agent among them."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO users (email, api_key_hash) VALUES ('one@example.com', ''), ('two', '')")
        await connection.execute(
            "INSERT INTO agents (user_id, external_id, name, type, status) "
            "VALUES (1, 'agent_1', 'Ada', 'sales', 'active')"
        )
        await connection.execute("INSERT INTO calls (user_id, agent_id, status) VALUES (1, 1, 'completed')")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_no_server_is_one_clear_error() -> None:
    """A server that is not there is a Tailrace error, not a driver's."""
    with pytest.raises(DatabaseUnavailableError, match="cannot connect"):
        await migrate("postgresql://nobody@127.0.0.1:1/none")


async def _tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        return {row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    finally:
        await connection.close()


async def _constraints(url: str) -> dict[str, str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
            "WHERE connamespace = 'public'::regnamespace "
            "AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version'"
        )
    finally:
        await connection.close()
    return {row["conname"]: row["definition"] for row in rows}
