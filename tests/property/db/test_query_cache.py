"""Random statements and writes on several processes, each result compared with the one that plain SQL gives.

Statements are put together from joins, subqueries, WITH, unions, LATERAL, views and aggregates. Writers use sessions,
and plain SQL that knows nothing of Tailrace; views are replaced meanwhile. A process must show its own writes at once,
after catching up those of others, and after a pass over the outbox those of plain SQL. The auditor compares every hit
as well and must agree.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import asyncpg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tests.integration.db.query_world import Process, make_shop, processes
from tests.waiting import wait_until

from tailrace.db import cached_query
from tailrace.stores import MemoryStore, Store, TieredStore, ValkeyStore

VIEWS = """
CREATE VIEW totals AS SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id;
CREATE VIEW named AS SELECT c.id, c.name, t.total FROM customers c LEFT JOIN totals t ON t.customer_id = c.id;
"""
CONDITIONS = st.sampled_from(
    [
        "true",
        "customer_id = 1",
        "amount > 10",
        "id % 2 = 0",
        "customer_id IN (SELECT id FROM customers WHERE name < 'B')",
    ]
)
ORDERS = st.builds("SELECT id, customer_id, amount FROM orders WHERE {}".format, CONDITIONS)


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Statements over statements; each has the columns id, customer_id and amount again."""
    forms = [
        "SELECT x.id, x.customer_id, x.amount FROM ({0}) x JOIN customers c ON c.id = x.customer_id",
        "SELECT max(id) AS id, customer_id, sum(amount) AS amount FROM ({0}) x GROUP BY customer_id",
        "WITH orders AS ({0}) SELECT id, customer_id, amount FROM orders",
        "WITH w AS ({0}), v AS (SELECT * FROM w) SELECT id, customer_id, amount FROM v WHERE EXISTS (SELECT FROM w)",
        "SELECT x.id, x.customer_id, n.total AS amount FROM ({0}) x JOIN named n ON n.id = x.customer_id",
        "SELECT c.id, x.customer_id, x.amount FROM customers c CROSS JOIN LATERAL "
        "(SELECT * FROM ({0}) y WHERE y.customer_id = c.id) x",
        "SELECT id, customer_id, (SELECT count(*) FROM ({0}) y) AS amount FROM orders",
    ]
    one = st.builds(lambda form, statement: form.format(statement), st.sampled_from(forms), inner)
    two = st.builds("({}) UNION ALL ({})".format, inner, inner)
    return one | two


STATEMENTS = st.recursive(ORDERS, _wider, max_leaves=3)
WRITES = st.sampled_from(
    [
        "UPDATE orders SET amount = amount + 1 WHERE id = {0}",
        "UPDATE orders SET customer_id = 1 + {0} % 3 WHERE id % 2 = 0",
        "DELETE FROM orders WHERE id = {0}",
        "INSERT INTO orders (id, customer_id, amount) VALUES ({0}, 1 + {0} % 3, {0}) ON CONFLICT (id) DO NOTHING",
        "UPDATE customers SET name = 'n{0}' WHERE id = 1 + {0} % 3",
        "TRUNCATE orders",
        "CREATE OR REPLACE VIEW totals AS SELECT customer_id, sum(amount + {0}) AS total FROM orders GROUP BY 1",
    ]
)
WRITE = st.tuples(st.just("write"), st.builds(lambda sql, n: sql.format(n), WRITES, st.integers(1, 6)), st.booleans())
READ = st.tuples(st.just("read"), STATEMENTS, st.just(value=True))
HISTORIES = st.lists(READ | READ | WRITE, min_size=4, max_size=14)


class World:
    """Processes on one shop, for many histories."""

    def __init__(self, made: list[Process], url: str, plain: asyncpg.Connection) -> None:
        self.processes = made
        self.url = url
        self.plain = plain
        self.hits = 0

    async def truth(self, sql: str) -> list[str]:
        return sorted(repr(tuple(row)) for row in await self.plain.fetch(sql))

    async def cached(self, process: Process, sql: str) -> list[str]:
        before = len(process.events)
        async with process.database.session() as session:
            found = sorted(repr(tuple(row)) for row in await session.execute(cached_query(text(sql))))
        self.hits += any(getattr(event, "status", None) == "hit" for event in process.events[before:])
        return found

    async def is_cached(self) -> bool:
        """Whether what is asked again comes from the cache, as it does whenever a process keeps up."""
        before = self.hits
        await self.cached(self.processes[0], "SELECT * FROM orders")
        return self.hits > before

    async def write(self, sql: str, by: Process | None) -> None:
        if by is not None and not sql.startswith("CREATE"):
            await by.database.run(lambda session: session.execute(text(sql)))
            for process in self.processes:
                if process is not by:
                    await wait_until(process.freshness.fence)
            return
        await self.plain.execute(sql)
        began = time.monotonic()
        for process in self.processes:
            await wait_until(lambda process=process: process.freshness._horizon.reached > began)  # type: ignore[misc]
            if sql.startswith("CREATE"):
                await wait_until(lambda process=process: looked_since(process, began))  # type: ignore[misc]

    async def play(self, history: list[tuple[str, str, bool]], draw: random.Random) -> None:
        await self.plain.execute(
            "TRUNCATE orders; INSERT INTO orders (id, customer_id, amount) VALUES (1,1,1), (2,2,2)"
        )
        await self.write("UPDATE customers SET name = 'A' WHERE id = 1", None)
        for kind, sql, by_session in history:
            process = draw.choice(self.processes)
            if kind == "write":
                await self.write(sql, process if by_session else None)
            for each in self.processes if kind == "read" else ():
                assert await self.cached(each, sql) == await self.truth(sql)
        for process in self.processes:
            assert not {"different", "failed"} & set(process.audits())


async def looked_since(process: Process, began: float) -> bool:
    process.queries.catalogue.peek()
    return process.queries.catalogue._looked > began


def _play(url: str, stores: Callable[[], list[Store | None]]) -> None:
    """All histories on one world, in one event loop."""

    async def all_histories() -> None:
        await make_shop(url, VIEWS)
        plain = await asyncpg.connect(url)
        async with processes(url, *stores(), bound=0.5, query_audit=1.0, pool_size=5) as made:
            world = World(made, url, plain)
            loop = asyncio.get_running_loop()

            @settings(max_examples=40, suppress_health_check=list(HealthCheck))
            @example([("read", "SELECT * FROM named", True), ("write", "UPDATE orders SET amount = 9", False)] * 2, 1)
            @given(HISTORIES, st.integers(0, 1000))
            def histories(history: list[tuple[str, str, bool]], seed: int) -> None:
                played: Any = asyncio.run_coroutine_threadsafe(world.play(history, random.Random(seed)), loop)
                played.result(60)

            await asyncio.to_thread(histories)
            await wait_until(world.is_cached)
            await wait_until(lambda: any("equal" in process.audits() for process in made))
        await plain.close()

    asyncio.run(all_histories())


def test_results_equal_the_database_s_with_a_shared_store(database_url: str, valkey_url: str) -> None:
    """Three processes, two with copies of their own in memory."""
    _play(database_url, lambda: [TieredStore(valkey_url), TieredStore(valkey_url), ValkeyStore(valkey_url)])


def test_results_equal_the_database_s_in_each_process_s_memory(database_url: str) -> None:
    """Two processes that share nothing but the database."""
    _play(database_url, lambda: [MemoryStore(), MemoryStore()])
