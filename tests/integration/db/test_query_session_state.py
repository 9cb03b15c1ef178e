"""Whatever a statement before it has set, a cached statement gives what the database would give there."""

from __future__ import annotations

import pytest
from sqlalchemy import Boolean, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession
from tests.integration.db.query_world import Process, make_shop, processes
from tests.waiting import wait_until

from tailrace.db import cached_query
from tailrace.db.compiled_statements import USES

MORE = """
CREATE SCHEMA b;
CREATE TABLE b.customers (id int, name text);
INSERT INTO b.customers VALUES (9, 'Zoe');
CREATE FUNCTION use_b(local boolean DEFAULT true) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('search_path', 'b', local); RETURN 1; END $$;
CREATE PROCEDURE go_b() LANGUAGE plpgsql AS $$ BEGIN PERFORM use_b(); END $$;
CREATE VIEW in_b AS SELECT public.use_b() AS n;
"""
STATEMENT = cached_query(text("SELECT name FROM customers ORDER BY id"))
USUAL, OTHER = ["Ada", "Bob", "Cid"], ["Zoe"]


async def names(session: AsyncSession) -> list[str]:
    return [row[0] for row in await session.execute(STATEMENT)]


async def usual_names(process: Process, times: int = 3) -> None:
    """Often enough that they come from the cache."""
    for _ in range(times):
        async with process.database.session() as session:
            assert await names(session) == USUAL


@pytest.mark.parametrize(
    "before",
    [
        "SELECT use_b()",
        "SELECT 1 FROM use_b()",
        'SELECT "use_b"()',
        "WITH x AS (SELECT use_b()) SELECT * FROM x",
        "VALUES (use_b())",
        "SELECT * FROM in_b",
        "CALL go_b()",
        "DO $$ BEGIN PERFORM use_b(); END $$",
        "SET LOCAL search_path TO b",
        "/* a comment */ SET LOCAL search_path = b",
        "-- a comment\nSET LOCAL search_path = b",
        "SELECT pg_catalog.set_config('search_path', 'b', true)",
        "SELECT SET_CONFIG ('search_path', 'b', 1=1)",
    ],
)
async def test_what_is_set_for_a_transaction_tells_results_apart(database_url: str, before: str) -> None:
    """In whatever form it is set: nobody gets another tenant's rows, and the others' stay as they were."""
    await make_shop(database_url, MORE)
    async with processes(database_url, pool_size=1, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        await usual_names(process)
        for _ in range(2):
            async with process.database.session() as session:
                await session.execute(text(before))
                assert await names(session) == OTHER
        await usual_names(process, 1)


@pytest.mark.parametrize(
    "before",
    [
        "SELECT use_b(false)",
        "SET SESSION search_path = b",
        "/* a comment */ SET search_path = b",
        "-- a comment\nSET search_path = b",
        "/* one /* within */ another */ SET search_path = b",
        "CREATE TEMP TABLE customers AS SELECT 9 AS id, 'Zoe' AS name",
        "SELECT 9 AS id, 'Zoe' AS name INTO TEMPORARY customers",
    ],
)
async def test_what_is_set_for_a_connection_holds_there_alone(database_url: str, before: str) -> None:
    """In its later transactions too; and it is not taken for how other connections stand."""
    await make_shop(database_url, MORE)
    async with processes(database_url, pool_size=2, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        await usual_names(process)
        async with process.database.session() as changed:
            await changed.execute(text(before))
            await changed.commit()
            for _ in range(3):
                assert await names(changed) == OTHER
                await changed.commit()
            await changed.execute(text("SELECT 1"))  # the connection is not to be given to the others
            await usual_names(process)


async def test_a_statement_that_is_kept_compiled_sets_as_much(database_url: str) -> None:
    """It does not come by where others are seen, and what its function sets is noticed all the same."""
    await make_shop(database_url, MORE)
    async with processes(database_url, pool_size=1, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        sets = text("SELECT use_b(:local)").bindparams(bindparam("local", type_=Boolean))
        for _ in range(USES + 1):
            await process.database.fetch(sets, {"local": True})  # for a transaction that ends with it
        await usual_names(process)
        await process.database.fetch(sets, {"local": False})
        for _ in range(2):
            async with process.database.session() as session:
                assert await names(session) == OTHER


async def test_what_a_function_of_one_s_own_might_have_set_costs_one_question(database_url: str) -> None:
    """A function that sets nothing ends no caching: the connection is asked, once, and hits go on."""
    await make_shop(database_url, "CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS 'SELECT 1';")
    async with processes(database_url, pool_size=1, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        await usual_names(process)
        async with process.database.session() as session:
            await session.execute(text("SELECT harmless()"))
        process.sent()
        await usual_names(process, 1)
        assert process.sent() == 1
        await usual_names(process)
        assert process.sent() == 0
        assert process.refusals() == []
