"""Results of statements from the cache: equal to the database's, or not from the cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Column, Executable, MetaData, Table, bindparam, event, func, literal, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload
from tests.integration.db.query_world import TOTALS, WATCHES, Customer, Order, Process, make_shop, processes, run
from tests.waiting import wait_until

from tailrace.cache import entry
from tailrace.db import QueryPolicy, cached_query
from tailrace.schema import Watch, apply
from tailrace.stores import MemoryStore

PATIENT = 60.0
"""Seconds: the bound where nothing has to be noticed by looking again. A process that gets no turn for a while is not
to lose its certainty between two questions, since it then rightly asks the database."""


@pytest.fixture
async def process(database_url: str) -> AsyncIterator[Process]:
    """One process on the shop."""
    await make_shop(database_url)
    async with processes(database_url, bound=PATIENT) as (made,):
        await wait_until(made.freshness.trusted)
        yield made


@pytest.fixture
async def looking_process(database_url: str) -> AsyncIterator[Process]:
    """One that soon notices when tables, views and watches are others."""
    await make_shop(database_url)
    async with processes(database_url) as (made,):
        await wait_until(made.freshness.trusted)
        yield made


async def rows(process: Process, statement: Executable, **parameters: object) -> list[tuple[object, ...]]:
    """What the statement gives in a session of its own."""
    async with process.database.session() as session:
        return sorted((tuple(row) for row in await session.execute(statement, parameters)), key=repr)


async def cached_rows(process: Process, statement: Executable, **parameters: object) -> list[tuple[object, ...]]:
    return await rows(process, cached_query(statement), **parameters)


async def is_cached(process: Process, statement: Executable) -> bool:
    """Asks twice; True if the second time nothing went to the database."""
    first = await cached_rows(process, statement)
    process.sent()
    assert await cached_rows(process, statement) == first
    return process.sent() == 0


async def test_the_second_time_nothing_is_sent(process: Process) -> None:
    """A hit gives equal rows with equal types and sends no statement at all."""
    first = await cached_rows(process, TOTALS)
    assert first == [("Ada", Decimal("30.50")), ("Bob", Decimal(5))]
    process.sent()
    assert await cached_rows(process, TOTALS) == first
    assert process.sent() == 0
    assert process.refusals() == []


class NotingStore(MemoryStore):
    """Remembers what was set, so that a test can change it where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[str, bytes] = {}

    async def set(self, items: Mapping[str, bytes], ttl: float) -> None:
        """As the store does."""
        self.noted |= items
        await super().set(items, ttl)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: b'[[["name",25],["amount",1700]],["",""],[["Eve","1"]]]', id="kept by another version"),
        pytest.param(lambda value: value.replace(b"Ada", b"Eve"), id="damaged"),
        pytest.param(lambda value: value[:-9], id="cut"),
    ],
)
async def test_what_cannot_be_read_is_a_miss(database_url: str, change: Callable[[bytes], bytes]) -> None:
    """An intact entry whose rows are not as this version writes them: the database is asked, and they are kept anew."""
    await make_shop(database_url)
    store = NotingStore()
    async with processes(database_url, store, bound=PATIENT) as (process,):
        await wait_until(process.freshness.trusted)
        first = await cached_rows(process, TOTALS)
        (key,) = [key for key in store.noted if ":e:q:" in key]
        kept = entry.decode(store.noted[key])
        assert kept is not None
        assert b"Ada" in kept.value
        await store.set({key: entry.encode(replace(kept, value=change(kept.value)))}, kept.ttl)
        assert await cached_rows(process, TOTALS) == first
        assert process.refusals() == ["damaged"]
        assert await is_cached(process, TOTALS)
        assert process.refusals() == []


async def test_a_write_through_a_session_shows_at_once(process: Process) -> None:
    """Whoever is told of a commit reads it with the next statement."""
    await cached_rows(process, TOTALS)
    await process.database.run(lambda s: s.execute(text("UPDATE orders SET amount = 7 WHERE id = 3")))
    assert ("Bob", Decimal(7)) in await cached_rows(process, TOTALS)


async def test_a_write_by_psql_shows_within_the_bound(process: Process, database_url: str) -> None:
    """Plain SQL that knows nothing of Tailrace, on a table behind a join."""
    await cached_rows(process, TOTALS)
    await run(database_url, "UPDATE customers SET name = 'Eve' WHERE id = 2")
    async with asyncio.timeout(20):
        while ("Eve", Decimal(5)) not in await cached_rows(process, TOTALS):
            await asyncio.sleep(0.005)


async def test_values_tell_results_apart(process: Process) -> None:
    """Equal statements with other values, or values of other types, have results of their own."""
    statement = select(Order.id).where(Order.customer_id == bindparam("customer"))
    assert await cached_rows(process, statement, customer=1) == [(1,), (2,)]
    assert await cached_rows(process, statement, customer=2) == [(3,)]
    for value in (1, True, "1", Decimal(1), 1.0):
        (found,) = await cached_rows(process, select(literal(value)))
        assert (type(found[0]), found[0]) == (type(value), value)


async def test_psycopg_s_rows_are_the_same(database_url: str) -> None:
    """The other driver: values of every type, hits, and writes that end them."""
    await make_shop(database_url)
    url = database_url.replace("postgresql", "postgresql+psycopg", 1)
    async with processes(url) as (process,):
        await wait_until(process.freshness.trusted)
        statement = select(Order).where(Order.customer_id == bindparam("customer")).order_by(Order.id)
        before = None
        for _ in range(2):
            process.sent()
            async with process.database.session() as session:
                found = list(await session.scalars(cached_query(statement), {"customer": 1}))
                seen = [(o.id, o.amount, o.placed_at, o.reference) for o in found]
            assert before in (None, seen)
            before = seen
        assert process.sent() == 0
        assert (await rows(process, cached_query(text("SELECT 10 % 4, '%s %%'"))))[0][0] == 2
        await process.database.run(lambda s: s.execute(text("UPDATE orders SET amount = 7 WHERE id = 3")))
        assert ("Bob", Decimal(7)) in await cached_rows(process, TOTALS)


async def test_comments_of_listeners_are_no_part_of_a_statement(process: Process) -> None:
    """A request's id in each statement leaves hits; a listener that changes what is asked is heard."""
    added = ["/* 1 */ "]

    def comment(_c: Any, _cursor: Any, sent: str, parameters: Any, _context: Any, _many: bool) -> tuple[str, Any]:
        asked = "FROM orders" in sent
        return (sent.replace("SELECT", f"{added[0]}SELECT", 1) if asked else sent), parameters

    event.listen(process.database.engine.sync_engine, "before_cursor_execute", comment, retval=True)
    statement = select(Order.id).where(Order.customer_id == 1)
    await cached_rows(process, statement)
    added[0] = "/* 2 */ "
    process.sent()
    assert await cached_rows(process, statement) == [(1,), (2,)]
    assert process.sent() == 0
    added[0] = "SELECT 9 AS id UNION ALL "
    assert await cached_rows(process, statement) == [(1,), (2,), (9,)]


async def test_mapped_objects_are_the_session_s_own(process: Process) -> None:
    """From the cache as from the database: one object an identity, changes kept, relations loaded, detached usable."""
    statement = cached_query(select(Customer).options(selectinload(Customer.orders)).order_by(Customer.id))
    async with process.database.session() as session:
        await session.scalars(statement)
    process.sent()
    async with process.database.session() as session:
        ada, *_ = (await session.scalars(statement)).all()
        assert process.sent() == 0
        ada.name = "changed and not flushed"
        session.sync_session.autoflush = False
        again, *_ = (await session.scalars(statement)).all()
        assert again is ada
        assert ada.name == "changed and not flushed"
        session.expunge_all()
    assert [(order.amount, order.placed_at.year) for order in ada.orders] == [(Decimal("10.50"), 2026), (20, 2026)]


async def test_nothing_from_the_cache_inside_a_transaction_that_has_written(process: Process) -> None:
    """Its own writes, flushed ones too, are seen; and what it saw is nobody else's."""
    await cached_rows(process, TOTALS)
    async with process.database.session() as session:
        order = await session.get(Order, 3)
        assert order is not None
        order.amount = Decimal(99)
        found = dict(tuple(row) for row in await session.execute(cached_query(TOTALS)))
        assert found["Bob"] == 99
        await session.rollback()
    assert ("Bob", Decimal(5)) in await cached_rows(process, TOTALS)
    assert "transaction" in process.refusals()


async def test_what_a_function_wrote_unnoticed_is_not_kept(process: Process, database_url: str) -> None:
    """A SELECT that writes looks like one that reads; its transaction's rows are not stored."""
    await run(
        database_url,
        "CREATE FUNCTION raise_prices() RETURNS void LANGUAGE sql AS 'UPDATE orders SET amount = amount + 1000'",
    )
    async with process.database.session() as session:
        await session.execute(text("SELECT raise_prices()"))
        found = dict(tuple(row) for row in await session.execute(cached_query(TOTALS)))
        assert found["Bob"] == 1005
        await session.rollback()
    assert ("Bob", Decimal(5)) in await cached_rows(process, TOTALS)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_older_snapshots_neither_read_nor_fill(process: Process, level: str, database_url: str) -> None:
    """A transaction keeps to its snapshot, and what it reads there is not stored."""
    async with process.database.session() as session:
        await session.connection(execution_options={"isolation_level": level})
        before = (await session.execute(TOTALS)).all()
        await run(database_url, "UPDATE orders SET amount = 50 WHERE id = 3")
        await wait_until(lambda: shows(process, ("Bob", Decimal(50))))
        assert (await session.execute(cached_query(TOTALS))).all() == before
    assert ("Bob", Decimal(50)) in await cached_rows(process, TOTALS)


async def test_a_default_isolation_of_the_role_is_found_out(process: Process) -> None:
    """A server setting makes snapshots older, and no option of SQLAlchemy's says so."""
    async with process.database.session() as session:
        await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        await session.execute(cached_query(TOTALS))
    assert set(process.refusals()) <= {"snapshot", "settings"}
    assert process.queries._standing is None


async def shows(process: Process, row: tuple[object, ...]) -> bool:
    return row in await cached_rows(process, TOTALS)


CACHED = {
    "view": "SELECT * FROM spending",
    "view over a view": "SELECT * FROM spenders",
    "with": "WITH o AS (SELECT * FROM orders) SELECT count(*) FROM o",
    "recursive": "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
    "subquery": "SELECT * FROM customers WHERE id IN (SELECT customer_id FROM orders)",
    "union": "SELECT id FROM customers UNION ALL SELECT id FROM orders",
    "lateral": "SELECT name, o.id FROM customers c, LATERAL (SELECT id FROM orders WHERE customer_id = c.id) o",
    "nothing that the planner would read": "SELECT count(*) FROM orders WHERE false",
    "day": "SELECT date_trunc('day', placed_at) FROM orders",
    "json": "SELECT jsonb_build_object('a', amount) FROM orders",
    "values": "VALUES (1, 'a'), (2, 'b')",
}
NOT_CACHED = {
    "unwatched table": ("SELECT * FROM notes", "unwatched"),
    "in a subquery": ("SELECT 1 WHERE EXISTS (SELECT FROM notes)", "unwatched"),
    "in a with that nobody reads": ("WITH n AS (SELECT * FROM notes) SELECT * FROM orders", "unwatched"),
    "a table named like a WITH elsewhere": (
        "SELECT * FROM (WITH notes AS (SELECT 1) SELECT * FROM notes) x, notes",
        "unwatched",
    ),
    "system's table": ("SELECT count(*) FROM pg_class", "relation"),
    "locks": ("SELECT * FROM orders FOR UPDATE", "locks"),
    "locks within": ("SELECT * FROM (SELECT * FROM orders FOR SHARE) x", "locks"),
    "present": ("SELECT * FROM orders WHERE placed_at < now()", "time"),
    "today": ("SELECT * FROM orders WHERE placed_at < CURRENT_DATE", "time"),
    "a text that means now": ("SELECT 'now'::timestamptz::text", "time"),
    "random": ("SELECT random() FROM orders", "function"),
    "sample": ("SELECT * FROM orders TABLESAMPLE BERNOULLI (50)", "function"),
    "place of a row": ("SELECT ctid::text FROM orders", "function"),
    "setting": ("SELECT current_setting('application_name')", "identity"),
    "undeclared function": ("SELECT price_of(1)", "function"),
    "function called like a column": ("SELECT o.due FROM orders o", "function"),
    "operator": ("SELECT 1 ==> 2", "function"),
    "aggregate": ("SELECT total(id) FROM orders", "function"),
    "partitioned": ("SELECT * FROM parts", "relation"),
    "partition": ("SELECT * FROM parts_1", "relation"),
    "materialised": ("SELECT * FROM kept", "relation"),
    "unlogged": ("SELECT * FROM quick", "relation"),
    "view of such": ("SELECT * FROM noted", "unwatched"),
    "view that asks the clock": ("SELECT * FROM recent", "time"),
    "sequence": ("SELECT last_value FROM numbers", "relation"),
    "row security": ("SELECT * FROM private", "identity"),
}
MORE = """
CREATE FUNCTION price_of(i int) RETURNS numeric LANGUAGE sql STABLE AS 'SELECT amount FROM orders WHERE id = i';
CREATE FUNCTION due(o orders) RETURNS text LANGUAGE sql STABLE AS 'SELECT note FROM notes WHERE id = o.id';
CREATE FUNCTION implies(a int, b int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM notes';
CREATE OPERATOR ==> (FUNCTION = implies, LEFTARG = int, RIGHTARG = int);
CREATE AGGREGATE total(int) (SFUNC = add_up, STYPE = int);
CREATE TABLE parts (id int) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
CREATE MATERIALIZED VIEW kept AS SELECT * FROM orders;
CREATE UNLOGGED TABLE quick (id int);
CREATE VIEW noted AS SELECT * FROM notes;
CREATE VIEW recent AS SELECT * FROM orders WHERE placed_at > now() - interval '1 day';
CREATE SEQUENCE numbers;
CREATE TABLE private (id int);
ALTER TABLE private ENABLE ROW LEVEL SECURITY;
""".replace(
    "CREATE AGGREGATE",
    "CREATE FUNCTION add_up(a int, b int) RETURNS int LANGUAGE sql AS 'SELECT a + (SELECT count(*)::int FROM notes)';\n"
    "CREATE AGGREGATE",
)


@pytest.fixture
async def odd_process(database_url: str) -> AsyncIterator[Process]:
    """One process on the shop with whatever a database can have."""
    await make_shop(database_url, MORE)
    async with processes(database_url, bound=PATIENT) as (made,):
        await wait_until(made.freshness.trusted)
        yield made


async def test_every_shape_of_select_is_followed(odd_process: Process) -> None:
    """Views, WITH, subqueries, unions and LATERAL over watched tables are all cached."""
    assert {name: await is_cached(odd_process, text(sql)) for name, sql in CACHED.items()} == dict.fromkeys(
        CACHED, True
    )
    assert odd_process.refusals() == []


async def test_what_cannot_be_certain_is_not_cached_and_says_why(odd_process: Process) -> None:
    """One reason for each, counted each time it is asked."""
    found = {}
    for name, (sql, _) in NOT_CACHED.items():
        await cached_rows(odd_process, text(sql))
        await cached_rows(odd_process, text(sql))
        found[name] = odd_process.refusals()
    assert found == {name: [reason, reason] for name, (_, reason) in NOT_CACHED.items()}


async def test_writable_with_is_never_cached(process: Process) -> None:
    """It writes each time, whatever it returns."""
    statement = text("WITH d AS (UPDATE orders SET amount = amount + 1 WHERE id = 3 RETURNING amount) SELECT * FROM d")
    found = []
    for _ in range(2):
        async with process.database.session() as session:
            found.append((await session.execute(cached_query(statement))).scalar_one())
            await session.commit()
    assert found == [6, 7]


async def test_a_declared_function_is_cached_until_its_tables_change(odd_process: Process, database_url: str) -> None:
    """What the service says it reads counts as read."""
    policy = QueryPolicy("prices", functions={"price_of": ["orders"]})
    statement = cached_query(text("SELECT price_of(3)"), policy)
    assert await rows(odd_process, statement) == [(5,)]
    odd_process.sent()
    assert await rows(odd_process, statement) == [(5,)]
    assert odd_process.sent() == 0
    await run(database_url, "UPDATE orders SET amount = 8 WHERE id = 3")
    await wait_until(lambda: gives(odd_process, statement, [(8,)]))
    unwatched = cached_query(text("SELECT price_of(3)"), QueryPolicy("prices", functions={"price_of": ["notes"]}))
    await rows(odd_process, unwatched)
    assert odd_process.refusals() == ["unwatched"]


async def gives(process: Process, statement: Executable, expected: list[tuple[object, ...]]) -> bool:
    return await rows(process, statement) == expected


async def test_a_changed_view_ends_what_was_read_through_it(looking_process: Process, database_url: str) -> None:
    """No row was written, and yet the result is another one."""
    statement = cached_query(text("SELECT amount FROM spending WHERE customer_id = 2"))
    assert await rows(looking_process, statement) == [(5,)]
    definition = "CREATE OR REPLACE VIEW spending AS SELECT customer_id, sum({}) AS amount FROM orders GROUP BY 1"
    await run(database_url, definition.format("amount * 2"))
    await wait_until(lambda: gives(looking_process, statement, [(10,)]))
    await run(database_url, definition.format("amount"))
    await wait_until(lambda: gives(looking_process, statement, [(5,)]))


async def test_a_watch_that_is_taken_away_ends_caching(looking_process: Process, database_url: str) -> None:
    """Disabled triggers note nothing: from then on nothing is cached, and what was is not found."""
    await wait_until(lambda: is_cached(looking_process, TOTALS))
    await run(database_url, "ALTER TABLE orders DISABLE TRIGGER tailrace_update")
    await run(database_url, "UPDATE orders SET amount = 77 WHERE id = 3")
    await wait_until(lambda: shows(looking_process, ("Bob", Decimal(77))))
    assert not await is_cached(looking_process, TOTALS)


async def test_a_table_that_comes_to_stand_before_another_is_read(looking_process: Process, database_url: str) -> None:
    """A name means the first table on the search path, also when that one is new."""
    statement = cached_query(text("SELECT count(*) FROM orders"))
    await run(database_url, f"ALTER DATABASE {database_url.rpartition('/')[2]} SET search_path = early, public")
    await run(database_url, "CREATE SCHEMA early")
    await looking_process.database.engine.dispose()
    assert await rows(looking_process, statement) == [(3,)]
    await run(database_url, "CREATE TABLE early.orders (id int)")
    await looking_process.database.engine.dispose()  # a prepared statement keeps to the table it was prepared for
    await wait_until(lambda: gives(looking_process, statement, [(0,)]))


async def test_a_temporary_table_is_its_session_s_own(process: Process) -> None:
    """It stands before the real one on its connection, and what is read from it is not stored."""
    statement = cached_query(select(func.count()).select_from(Order))
    async with process.database.session() as session:
        await session.execute(text("CREATE TEMPORARY TABLE orders (id int)"))
        await session.commit()
    for _ in range(4):
        await rows(process, statement)
    await process.database.engine.dispose()
    assert await rows(process, statement) == [(3,)]


async def test_settings_of_a_transaction_tell_results_apart(process: Process) -> None:
    """A time zone or search path that is set for one transaction is part of the key."""
    statement = cached_query(text("SELECT to_char(placed_at, 'HH24') FROM orders WHERE id = 1"))

    async def hour(zone: str | None) -> str:
        async with process.database.session() as session:
            if zone is not None:
                await session.execute(text(f"SET LOCAL TIME ZONE '{zone}'"))
            return str((await session.execute(statement)).scalar_one())

    for _ in range(2):
        assert [await hour(zone) for zone in ("UTC", "Asia/Tokyo", "UTC")] == ["12", "21", "12"]


@pytest.mark.parametrize("moment", ["begin", "checkout"])
async def test_tenants_that_a_listener_sets_are_told_apart(process: Process, moment: str, database_url: str) -> None:
    """Applications set a schema for each transaction, or for each connection they take: nobody gets another's rows."""
    await run(
        database_url,
        "CREATE SCHEMA one; CREATE SCHEMA two; CREATE TABLE one.place (n int); CREATE TABLE two.place (n int); "
        "INSERT INTO one.place VALUES (1); INSERT INTO two.place VALUES (2);",
    )
    metadata = MetaData()
    await apply(
        database_url,
        [*WATCHES, *(Watch(Table("place", metadata, Column("n"), schema=name)) for name in ("one", "two"))],
    )
    tenant = ["one"]
    engine = process.database.engine.sync_engine
    if moment == "begin":
        event.listen(engine, "begin", lambda c: c.exec_driver_sql(f"SET LOCAL search_path = {tenant[0]}"))
    else:

        def choose(connection: Any, _entry: Any, _proxy: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(f"SET search_path = {tenant[0]}")
            cursor.close()
            connection.commit()

        event.listen(engine, "checkout", choose)
    statement = text("SELECT n FROM place")
    await wait_until(lambda: is_cached_but_for_asking(process, statement))
    for name, expected in (("one", 1), ("two", 2), ("one", 1), ("two", 2)):
        tenant[0] = name
        assert await cached_rows(process, statement) == [(expected,)]
    assert process.refusals() == []


async def is_cached_but_for_asking(process: Process, statement: Executable) -> bool:
    process.events.clear()
    await cached_rows(process, statement)
    return any(getattr(each, "status", None) == "hit" for each in process.events)


async def test_settings_that_outlive_a_transaction_end_caching_on_their_connection(database_url: str) -> None:
    """What was read under them is not stored for others."""
    await make_shop(database_url)
    async with processes(database_url, pool_size=1, max_overflow=0) as (process,):
        await wait_until(process.freshness.trusted)
        statement = cached_query(text("SELECT to_char(placed_at, 'HH24') FROM orders WHERE id = 1"))
        async with process.database.session() as session:
            await session.execute(text("SET TIME ZONE 'Asia/Tokyo'"))
            await session.commit()
            assert (await session.execute(statement)).scalar_one() == "21"
        assert process.refusals() == ["settings"]


async def test_row_security_is_told_apart_by_identity(process: Process, database_url: str) -> None:
    """Two callers never get each other's rows, and each gets his own from the cache."""
    await run(
        database_url,
        """
        DO $$ BEGIN CREATE ROLE tailrace_test_clerk; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT SELECT ON orders TO tailrace_test_clerk;
        ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON orders USING (customer_id = current_setting('shop.customer')::int);
        """,
    )

    async def ids(session: AsyncSession, customer: int) -> list[int]:
        await session.execute(text("SET LOCAL ROLE tailrace_test_clerk"))
        await session.execute(text("SELECT set_config('shop.customer', :customer, true)"), {"customer": str(customer)})
        found = await session.scalars(cached_query(select(Order.id).order_by(Order.id), identity=customer))
        return list(found)

    await wait_until(lambda: process.queries.catalogue.peek() is not None)
    for _ in range(3):
        for customer, expected in ((1, [1, 2]), (2, [3])):
            async with process.database.session() as session:
                assert await ids(session, customer) == expected
    async with process.database.session() as session:
        await session.execute(cached_query(select(Order.id)))
    await wait_until(lambda: refuses(process, "identity"))


async def refuses(process: Process, reason: str) -> bool:
    process.refusals()
    await cached_rows(process, select(Order.id))
    return process.refusals() == [reason]


async def test_many_who_miss_together_ask_once(process: Process) -> None:
    """One of them runs the statement, the others get his rows; who leaves hands over."""
    await cached_rows(process, select(Customer.id))  # the standing and the catalogue are known
    process.sent()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(cached_rows(process, TOTALS)) for _ in range(10)]
    assert process.sent() == 2  # the statement, and what its connection says of itself
    assert {tuple(task.result()) for task in asked} == {(("Ada", Decimal("30.50")), ("Bob", Decimal(5)))}


async def test_whoever_runs_the_statement_may_leave(process: Process, database_url: str) -> None:
    """His place is taken by one of those who wait."""
    await cached_rows(process, select(Customer.id))
    writer = await asyncpg.connect(database_url)
    async with writer.transaction():
        await writer.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(cached_rows(process, TOTALS))
        await wait_until(lambda: len(process.cache._flights) == 1)
        others = [asyncio.create_task(cached_rows(process, TOTALS)) for _ in range(3)]
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await wait_until(lambda: len(process.cache._flights) == 1)
    found = await asyncio.gather(*others)
    assert found == [[("Ada", Decimal("30.50")), ("Bob", Decimal(5))]] * 3
    await writer.close()


async def test_without_a_session_only_single_statements_are_cached(process: Process) -> None:
    """``fetch`` runs outside any transaction; a bare connection may be in one that has written."""
    for _ in range(2):
        assert len(await process.database.fetch(cached_query(select(Customer.id)))) == 3
    process.sent()
    assert len(await process.database.fetch(cached_query(select(Customer.id)))) == 3
    assert process.sent() == 0
    async with process.database.engine.connect() as connection:
        await connection.execute(cached_query(select(Customer.id)))
    assert process.refusals() == ["transaction"]


async def test_a_session_caches_all_it_selects(process: Process) -> None:
    """Without a word at each statement; what writes is left alone."""
    for _ in range(2):
        process.sent()
        async with process.database.session(cached=QueryPolicy("all")) as session:
            assert len((await session.scalars(select(Customer))).all()) == 3
    assert process.sent() == 0
    async with process.database.session(cached=QueryPolicy("all")) as session:
        session.add(Customer(id=9, name="Zoe"))
        await session.commit()
        assert len((await session.scalars(select(Customer))).all()) == 4
