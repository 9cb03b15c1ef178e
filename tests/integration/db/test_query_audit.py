"""The auditor: finds what the cache should not have served, and takes nobody's write for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text
from tests.integration.db.query_world import TOTALS, Order, Process, make_shop, processes, run
from tests.waiting import wait_until

from tailrace.db import cached_query
from tailrace.db.query_cache import memory
from tailrace.db.query_cache.statement import References, parse_statement


async def ask(process: Process, statement: object = TOTALS) -> list[tuple[object, ...]]:
    async with process.database.session() as session:
        return [tuple(row) for row in await session.execute(cached_query(statement))]  # type: ignore[type-var]


async def audited(process: Process, statement: object, outcome: str) -> bool:
    await ask(process, statement)
    return outcome in process.audits()


async def test_equal_results_are_counted_as_equal(database_url: str) -> None:
    """Every hit is compared here, and none differs."""
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0) as (process,):
        await wait_until(process.freshness.trusted)
        await wait_until(lambda: audited(process, TOTALS, "equal"))
        assert set(process.audits()) == {"equal"}


async def test_a_dependency_that_is_overlooked_is_found_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reading of statements broken on purpose, the auditor finds the stale result and ends its use."""

    def half_blind(sql: str) -> References:
        found = parse_statement(sql)
        return replace(found, relations={name for name in found.relations if name[1] != "orders"})

    monkeypatch.setattr(memory, "parse_statement", half_blind)
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0) as (process,):
        await wait_until(process.freshness.trusted)
        before = await ask(process)
        await run(database_url, "UPDATE orders SET amount = 1000 WHERE id = 3")
        await wait_until(lambda: audited(process, TOTALS, "different"))
        assert "the database does not" in caplog.text
        assert "orders" in caplog.text
        assert await ask(process) != before
        assert process.refusals()[-1] == "different"


async def test_a_write_at_that_moment_is_no_mistake(database_url: str) -> None:
    """While others write all the time, hits are overtaken and none counts as different."""
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0) as (process,):
        await wait_until(process.freshness.trusted)
        ended = asyncio.Event()

        async def write() -> None:
            for turn in range(150):
                await run(database_url, f"UPDATE orders SET amount = {turn} WHERE id = {1 + turn % 3}")
            ended.set()

        writing = asyncio.create_task(write())
        while not ended.is_set():
            await ask(process)
        await writing
        await wait_until(lambda: audited(process, TOTALS, "equal"))
        assert "different" not in process.audits()


async def test_a_view_that_is_replaced_at_that_moment_is_no_mistake(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the statement means now is not what it meant when it was answered."""
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0) as (process,):
        await wait_until(process.freshness.trusted)
        auditor = process.queries.auditor
        assert auditor is not None
        run_again = auditor._run_again

        async def after_a_change(*given: Any) -> bytes | None:
            more = "SELECT customer_id, sum(amount + 1) AS amount FROM orders GROUP BY customer_id"
            await run(database_url, f"CREATE OR REPLACE VIEW spending AS {more}")
            return await run_again(*given)

        monkeypatch.setattr(auditor, "_run_again", after_a_change)
        await wait_until(lambda: audited(process, text("SELECT name, amount FROM spenders"), "overtaken"))
        assert "different" not in process.audits()


async def test_rows_that_a_limit_leaves_open_are_no_mistake(database_url: str) -> None:
    """Which row LIMIT gives without an order is nobody's promise."""
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0) as (process,):
        await wait_until(process.freshness.trusted)
        statement = select(Order.id).limit(1)
        assert await ask(process, statement) == [(1,)]
        await run(
            database_url,
            "SET session_replication_role = replica; UPDATE orders SET amount = amount WHERE id = 1",
        )
        await wait_until(lambda: audited(process, statement, "unordered"))
        assert "different" not in process.audits()


async def test_audits_leave_connections_to_requests(database_url: str) -> None:
    """Where every connection is in use, nothing is audited."""
    await make_shop(database_url)
    async with processes(database_url, query_audit=1.0, pool_size=1, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        async with process.database.session() as session:
            for _ in range(3):
                await session.execute(cached_query(TOTALS))
            await session.execute(text("SELECT 1"))
            assert process.audits() == []
