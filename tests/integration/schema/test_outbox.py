"""The tags that each kind of write leaves, whoever writes."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

import asyncpg
import pytest
from tests.integration.schema.world import calls, leads, moment, tags_since

from tailrace.schema import Through, Watch, Where, apply

CALL = "INSERT INTO calls (id, user_id, status, created_at) VALUES ($1, $2, 'completed', $3)"


@pytest.fixture
async def writer(kept_url: str, connection: asyncpg.Connection) -> asyncpg.Connection:
    for number, user in ((1, 1), (2, 2), (3, 2)):
        await connection.execute(CALL, number, user, moment(number))
    await connection.execute("INSERT INTO leads VALUES (1, 1, 80, now()), (2, 2, 10, now())")
    await connection.execute("DELETE FROM tailrace.outbox")
    return connection


@pytest.mark.parametrize(
    ("statement", "tags"),
    [
        ("INSERT INTO calls (id, user_id, status, created_at) VALUES (9, 3, 'x', now())", "calls:user_id=3"),
        ("UPDATE calls SET note = 'seen' WHERE id = 1", "calls:user_id=1"),
        (
            "UPDATE calls SET user_id = 3 WHERE id = 1",
            "calls:user_id=1 calls:user_id=3 leads:user_id=1 leads:user_id=3",
        ),
        ("DELETE FROM calls WHERE id = 3", "calls:user_id=2 leads:user_id=2"),
        ("DELETE FROM calls WHERE id = 1", "calls:user_id=1 leads leads:user_id=1"),
        ("DELETE FROM users WHERE id = 1", "calls:user_id=1 leads leads:user_id=1"),
        ("INSERT INTO leads VALUES (9, 3, 1, now())", "leads:user_id=2"),
        ("UPDATE leads SET call_id = 2 WHERE id = 1", "leads:user_id=1 leads:user_id=2"),
        ("DELETE FROM leads", "leads:user_id=1 leads:user_id=2"),
        ("UPDATE calls SET note = 'none' WHERE false", ""),
        ("DELETE FROM leads WHERE id = 77", ""),
        ("INSERT INTO calls SELECT * FROM calls WHERE false", ""),
        ("TRUNCATE leads", "leads:*"),
        ("TRUNCATE calls CASCADE", "calls:* leads:*"),
        (
            "INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'y', now()) "
            "ON CONFLICT (id) DO UPDATE SET status = 'y'",
            "calls:user_id=1",
        ),
        ("MERGE INTO calls c USING (VALUES (1)) v(id) ON c.id = v.id WHEN MATCHED THEN DELETE",
         "calls:user_id=1 leads leads:user_id=1"),
    ],
)  # fmt: skip
async def test_tags_of_a_statement(writer: asyncpg.Connection, statement: str, tags: str) -> None:
    """A statement leaves the tag of each key it touched, old and new, or its table's if it has none; without rows, nothing."""
    await writer.execute(statement)
    assert await tags_since(writer) == set(tags.split())


async def test_many_keys_leave_one_wide_tag(writer: asyncpg.Connection) -> None:
    """100 keys are named; 101 are not."""
    await writer.execute("INSERT INTO users SELECT generate_series(10, 300)")
    for first, number in ((1000, 100), (2000, 101)):
        await writer.execute(
            "INSERT INTO calls (id, user_id, status, created_at) SELECT $1 + g, 9 + g, 'x', now() FROM generate_series(1, $2) g",
            first, number,
        )  # fmt: skip
        tags = await tags_since(writer)
        expected = {f"calls:user_id={9 + n}" for n in range(1, 101)} if number == 100 else {"calls:*"}
        assert tags == expected


async def test_copy_is_noticed(writer: asyncpg.Connection) -> None:
    """COPY fires the same triggers as INSERT."""
    await writer.copy_records_to_table(
        "calls", records=[(50, 3, "x", moment(5))], columns=["id", "user_id", "status", "created_at"]
    )
    assert await tags_since(writer) == {"calls:user_id=3"}


async def test_a_rollback_leaves_nothing(writer: asyncpg.Connection) -> None:
    """Tags live and die with the transaction that wrote."""
    transaction = writer.transaction()
    await transaction.start()
    await writer.execute("DELETE FROM calls")
    await transaction.rollback()
    assert await tags_since(writer) == set()


async def test_a_role_that_may_only_write_the_table_is_noticed(writer: asyncpg.Connection, kept_url: str) -> None:
    """The trigger writes with its owner's rights, and not through a search path that the role chose."""
    await writer.execute(
        "DROP ROLE IF EXISTS modest; CREATE ROLE modest; GRANT INSERT ON calls TO modest; GRANT CREATE ON SCHEMA public TO modest; "
        "SET ROLE modest; CREATE TABLE public.outbox_trap (x int); SET search_path = public, pg_catalog"
    )
    await writer.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (60, 1, 'x', now())")
    await writer.execute("RESET ROLE; RESET search_path; DROP OWNED BY modest; DROP ROLE modest")
    assert await tags_since(writer) == {"calls:user_id=1"}


async def test_odd_names(tables_url: str, connection: asyncpg.Connection) -> None:
    """Schemas, tables and columns of any name can be watched."""
    from sqlalchemy import Column, Integer, MetaData, Table

    odd = Table(
        'we"ird $tailrace$ table', MetaData(), Column("Key 'x'", Integer, primary_key=True), schema="An odd; schema"
    )
    await connection.execute('CREATE SCHEMA "An odd; schema"')
    await connection.execute('CREATE TABLE "An odd; schema"."we""ird $tailrace$ table" ("Key \'x\'" int PRIMARY KEY)')
    await apply(tables_url, [Watch(odd, key="Key 'x'"), Watch(calls)])
    await connection.execute('INSERT INTO "An odd; schema"."we""ird $tailrace$ table" VALUES (5)')
    prefix = 'An odd; schema.we"ird $tailrace$ table'
    assert await tags_since(connection) == {f"{prefix}:Key 'x'=5"}


@pytest.mark.parametrize(
    ("statement", "tags"),
    [
        ("INSERT INTO calls (id, user_id, status, created_at) VALUES (9, 3, 'failed', now())",
         "calls:id=9 calls:failed=true"),
        ("INSERT INTO calls (id, user_id, status, created_at) VALUES (9, 3, 'completed', now())", "calls:id=9"),
        ("INSERT INTO calls (id, user_id, status, created_at) SELECT g, 3, 'failed', now() FROM generate_series(8, 9) g",
         "calls:id=8 calls:id=9 calls:failed=true"),
        ("UPDATE calls SET note = 'seen' WHERE id = 1", "calls:id=1"),
        ("UPDATE calls SET note = 'seen' WHERE id = 2", "calls:id=2 calls:failed=true"),
        # it holds from now on, and no longer
        ("UPDATE calls SET status = 'failed' WHERE id = 1", "calls:id=1 calls:failed=true leads:failed=true"),
        ("UPDATE calls SET status = 'completed' WHERE id = 2", "calls:id=2 calls:failed=true leads:failed=true"),
        ("DELETE FROM calls WHERE id = 2", "calls:id=2 calls:failed=true leads leads:failed=true"),
        ("DELETE FROM calls WHERE id = 3", "calls:id=3"),
        # what has no key and no such parent is still written to
        ("INSERT INTO leads VALUES (9, 3, 1, now())", "leads"),
        ("INSERT INTO leads VALUES (9, 2, 1, now())", "leads:failed=true"),
        ("UPDATE leads SET call_id = 1 WHERE id = 2", "leads:failed=true"),
        ("UPDATE leads SET call_id = 2 WHERE id = 1", "leads:failed=true"),
        ("DELETE FROM leads WHERE id = 1", "leads"),
        ("TRUNCATE calls CASCADE", "calls:* leads:*"),
    ],
)  # fmt: skip
async def test_rows_of_a_condition_have_a_tag(
    tables_url: str, connection: asyncpg.Connection, statement: str, tags: str
) -> None:
    """It is left wherever the condition held before or holds after, of a row or of its parent, and nowhere else."""
    failed = Where("failed", calls.c.status == "failed")
    await apply(
        tables_url, [Watch(calls, key=("id", failed)), Watch(leads, key=Through("call_id", calls, "id", failed))]
    )
    for number, status in ((1, "completed"), (2, "failed"), (3, "completed")):
        await connection.execute(
            "INSERT INTO calls (id, user_id, status, created_at) VALUES ($1, 1, $2, now())", number, status
        )
    await connection.execute("INSERT INTO leads VALUES (1, 1, 80, now()), (2, 2, 10, now())")
    await connection.execute("DELETE FROM tailrace.outbox")
    await connection.execute(statement)
    assert await tags_since(connection) == set(tags.split())
