"""The service's tables: created, removed and created again; what is declared is what is there."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from tailrace_services.call_coach.migrations import differences, migrate, revert
from tailrace_services.call_coach.model import SEARCH_EXPRESSION, Base
from tailrace_services.data.connection import driver_url

TURN = "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text)"
SESSION = "INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, rubric_version)"


async def test_up_down_up(database_url: str) -> None:
    """Upgrading, downgrading and upgrading again ends with exactly the declared tables."""
    assert await migrate(database_url) == await migrate(database_url)
    assert await differences(database_url) == []
    await revert(database_url)
    assert await _fetch(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("alembic_version",)
    ]
    await migrate(database_url)
    assert await differences(database_url) == []


async def test_declared_and_migrated_agree_to_the_letter(database_url: str) -> None:
    """What Alembic's comparison does not look at agrees as well: checks, deletions, generated columns."""
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
        "AND conrelid <> 0 AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1"
    )
    generated = (
        "SELECT attname, pg_get_expr(adbin, adrelid) FROM pg_attrdef "
        "JOIN pg_attribute ON adrelid = attrelid AND adnum = attnum WHERE attgenerated <> '' ORDER BY 1"
    )
    await migrate(database_url)
    migrated = await _fetch(database_url, constraints), await _fetch(database_url, generated)
    await revert(database_url)
    engine = create_async_engine(driver_url(database_url, "+asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()
    assert migrated == (await _fetch(database_url, constraints), await _fetch(database_url, generated))
    assert migrated[1] == [("search", SEARCH_EXPRESSION)]


async def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    """Several processes may migrate at the same time; all succeed."""
    assert len(set(await asyncio.gather(*(migrate(database_url) for _ in range(4))))) == 1
    assert await differences(database_url) == []


async def test_no_secondary_indexes(database_url: str) -> None:
    """The original was slow for want of indexes: there are only those of primary keys and unique constraints."""
    await migrate(database_url)
    bare = (
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indrelid "
        "WHERE relnamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))"
    )
    large = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'transcripts'::regclass"
    assert await _fetch(database_url, bare) == []
    assert await _fetch(database_url, large) == [("transcripts_pkey",)]


@pytest.mark.parametrize(
    "statement",
    [
        f"{TURN} VALUES (2, 1, 1, 0, 1, '')",
        f"{TURN} VALUES (1, 1, 1, 2, 1, '')",
        f"{TURN} VALUES (1, 1, 0, 0, 1, '')",
        "UPDATE calls SET call_type = 'party'",
        "UPDATE calls SET duration_seconds = -1",
        "UPDATE speakers SET company_side = 'press'",
        "UPDATE speakers SET call_id = 99",
        f"{SESSION} VALUES (1, 1, 'charm', 1, '')",
        f"{SESSION} VALUES (1, 1, 'discovery', 101, '')",
        f"{SESSION} VALUES (1, 7, 'discovery', 1, '')",
        "INSERT INTO transcript_imports (call_id, digest, file_name, format) VALUES (1, 'd', '', ''), (2, 'd', '', '')",
    ],
)
async def test_what_cannot_be_is_refused(database_url: str, statement: str) -> None:
    """The database itself refuses rows that make no sense, a turn by another call's speaker among them."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO reps (email, name) VALUES ('ann@example.com', 'Ann')")
        await connection.execute(
            "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('a', now(), 1), ('b', now(), 1)"
        )
        await connection.execute("INSERT INTO speakers (call_id, name, company_side) VALUES (1, 'Ann', 'rep')")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_search_follows_the_text(database_url: str) -> None:
    """The search vector is the text's, stemmed, without anybody having to keep it so."""
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    found = "SELECT search @@ plainto_tsquery('english', $1) FROM transcripts"
    try:
        await connection.execute("INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('a', now(), 1)")
        await connection.execute("INSERT INTO speakers (call_id, name, company_side) VALUES (1, 'Ann', 'rep')")
        await connection.execute(
            "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text) "
            "VALUES (1, 1, 1, 0, 1, 'Pricing for two users')"
        )
        assert await connection.fetchval(found, "price user")
        await connection.execute("UPDATE transcripts SET text = 'Hello'")
        assert not await connection.fetchval(found, "price user")
    finally:
        await connection.close()


async def _fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()
