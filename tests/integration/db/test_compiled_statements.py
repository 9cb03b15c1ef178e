"""Statements that are kept go past SQLAlchemy's machinery, and nobody can tell but by the time."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import bindparam, event, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from tests.waiting import wait_until

from tailrace.cache import Cache
from tailrace.db import Database
from tailrace.db.compiled_result import CompiledResult
from tailrace.db.compiled_statements import MOST, USES
from tailrace.db.errors import refused
from tailrace.errors import DatabaseTimeoutError
from tailrace.events import Event, StatementFinished
from tailrace.settings import DatabaseSettings
from tailrace.stores import MemoryStore


class Kind(enum.Enum):
    """Has names and values that differ."""

    SHORT = "s"
    LONG = "l"


class Base(DeclarativeBase):
    """Of the tables here."""


class Thing(Base):
    """One column of each kind that SQLAlchemy reads in a way of its own."""

    __tablename__ = "things"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[Kind] = mapped_column(sa.Enum(Kind, native_enum=False))
    price: Mapped[Any] = mapped_column(sa.Numeric(10, 2))
    share: Mapped[float] = mapped_column(sa.Numeric(10, 2, asdecimal=False))
    facts: Mapped[Any] = mapped_column(JSONB)
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    took: Mapped[Any] = mapped_column(sa.Interval)
    at: Mapped[Any] = mapped_column(sa.DateTime(timezone=True))
    renamed: Mapped[str | None] = mapped_column("other_name", sa.String(20))


ROWS = """
INSERT INTO things SELECT n, CASE n % 2 WHEN 0 THEN 'SHORT' ELSE 'LONG' END, n * 1.25, n * 0.5,
    jsonb_build_object('n', n, 'deep', jsonb_build_array(n, NULL)), ARRAY['a', 'b' || n], n * interval '1 hour',
    timestamptz '2026-01-01Z' + n * interval '1 day', CASE WHEN n > 2 THEN 'r' || n END FROM generate_series(1, 5) AS n
"""
things = Thing.__table__.c
STATEMENTS: dict[str, tuple[Any, dict[str, Any] | None]] = {
    "every type": (select(*things).order_by(things.id), None),
    "of a class": (select(Thing.id, Thing.renamed, Thing.kind.label("what")).order_by(Thing.id), None),
    "parameters": (
        select(things.id).where(things.kind == sa.bindparam("kind"), things.price > sa.bindparam("over")),
        {"kind": Kind.LONG, "over": 2},
    ),
    "values of its own": (select(things.id, things.kind).where(things.kind == Kind.SHORT, things.id < 4), {}),
    "one value twice": (
        select(things.id).where((things.id == sa.bindparam("n")) | (things.price == sa.bindparam("n"))),
        {"n": 2},
    ),
    "text": (text("SELECT id, other_name FROM things WHERE id > :over ORDER BY id"), {"over": 1}),
    "text of everything": (text("SELECT * FROM things ORDER BY id"), None),
    "names twice": (select(things.id, things.id.label("again"), sa.literal(1).label("id")), None),
    "no rows": (select(things.id).where(sa.false()), None),
    "united": (select(things.id).union_all(select(things.id + 10)).order_by("id"), None),
    "many values": (select(things.id).where(things.id.in_(sa.bindparam("ids", expanding=True))), {"ids": [1, 3]}),
}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with things, whose events are kept in ``events``."""
    connection = await asyncpg.connect(database_url)
    created = str(sa.schema.CreateTable(Thing.__table__).compile(dialect=sa.dialects.postgresql.dialect()))
    await connection.execute(created)
    await connection.execute(ROWS)
    await connection.close()
    events: list[Event] = []
    made = Database(
        database_url,
        settings=DatabaseSettings(pool_size=1, max_overflow=0, pool_timeout=5.0, retry_time=0),
        observer=events.append,
    )
    made.events = events  # type: ignore[attr-defined]
    yield made
    await made.aclose()


async def by_sqlalchemy(database: Database, statement: Any, parameters: Any) -> Any:
    async with database.engine.connect() as connection:
        return (await connection.execute(statement, parameters)).freeze()


async def used(database: Database, statement: Any, parameters: Any = None) -> bool:
    """Run it until it is kept; whether it is."""
    for _ in range(USES):
        await database.fetch(statement, parameters)
    return database._compiled.find(statement, parameters) is not None


@pytest.mark.parametrize("name", STATEMENTS)
async def test_rows_are_what_sqlalchemy_makes_of_them(database: Database, name: str) -> None:
    """Whether it is kept or not: values and their types, names, and look-ups by column."""
    statement, parameters = STATEMENTS[name]
    expected = (await by_sqlalchemy(database, statement, parameters))()
    columns, rows = list(expected.keys()), expected.all()
    assert await used(database, statement, parameters) is (name != "many values")
    found = await database.execute(statement, parameters)
    assert list(found.keys()) == columns
    got = found.all()
    assert got == rows
    assert [[type(value) for value in row] for row in got] == [[type(value) for value in row] for row in rows]
    if name == "every type":
        assert got[0]._mapping[things.other_name] is None
        assert got[1].kind is Kind.SHORT
        assert [row.other_name for row in got] == [row.other_name for row in rows]
    if name == "of a class":
        assert [row._mapping[things.other_name] for row in got] == [row.other_name for row in rows]


@pytest.mark.parametrize("name", ["every type", "of a class", "text of everything"])
async def test_first_columns_are_what_sqlalchemy_makes_of_them(database: Database, name: str) -> None:
    """Rows without their last column: names, look-ups and values as of SQLAlchemy's own choice of columns."""
    statement, parameters = STATEMENTS[name]
    expected = await by_sqlalchemy(database, statement, parameters)
    width = len(list(expected().keys())) - 1
    rows = expected().columns(*range(width)).all()
    assert await used(database, statement, parameters)
    found = await database.execute(statement, parameters)
    assert isinstance(found, CompiledResult)
    for _ in range(2):  # described, and as it was described
        first, others = found.apart(width)
        assert list(first.keys()) == list(expected().keys())[:width]
        got = first.all()
        assert got == rows
        assert [tuple(row) for row in others] == [tuple(row) for row in expected().columns(width)]
    with pytest.raises(AttributeError):
        _ = got[0].other_name if name != "of a class" else got[0].what


@pytest.mark.parametrize("name", [name for name in STATEMENTS if name not in ("names twice", "many values")])
async def test_a_frozen_result_is_what_it_was(database: Database, name: str) -> None:
    """It gives the same rows and columns again and again, and of some of its columns those alone."""
    statement, parameters = STATEMENTS[name]
    expected = await by_sqlalchemy(database, statement, parameters)
    assert await used(database, statement, parameters)
    for _ in range(2):
        frozen = (await database.execute(statement, parameters)).freeze()
        assert frozen.data == expected.data
        for _ in range(2):
            again = frozen()
            assert isinstance(again, CompiledResult)
            assert list(again.keys()) == list(expected().keys())
            assert again.all() == expected().all()
        narrow = (await database.execute(statement, parameters)).columns(0).freeze()
        assert narrow().all() == expected().columns(0).all()
        assert narrow().scalars().all() == expected().scalars().all()


async def test_names_that_are_there_twice_are_refused(database: Database) -> None:
    """As SQLAlchemy refuses them, in place of giving one of the two."""
    statement, _ = STATEMENTS["names twice"]
    assert await used(database, statement)
    (row, *_others) = await database.fetch(statement)
    with pytest.raises(sa.exc.InvalidRequestError, match="Ambiguous"):
        _ = row._mapping["id"]


async def test_a_change_of_the_table_is_taken_in(database: Database, database_url: str) -> None:
    """A statement that was prepared before is no reason to fail, and shows what there is now."""
    everything = STATEMENTS["text of everything"][0]
    renamed = select(things.id, things.other_name)
    assert await used(database, everything)
    assert await used(database, renamed)
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE things ADD COLUMN more int DEFAULT 7, ALTER other_name TYPE varchar(40)")
    await connection.close()
    assert {row.more for row in await database.fetch(everything)} == {7}
    assert len(await database.fetch(renamed)) == 5


async def test_events_and_failures_are_told(database: Database) -> None:
    """A kept statement is counted as any other, and its error is the same."""
    limited = text("SELECT 1 / :by AS n")
    assert await used(database, limited, {"by": 1})
    events: list[Event] = database.events  # type: ignore[attr-defined]
    events.clear()
    await database.fetch(limited, {"by": 1})
    with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
        await database.fetch(limited, {"by": 0})
    told = [(each.operation, each.error) for each in events if isinstance(each, StatementFinished)]
    assert told == [("SELECT", False), ("SELECT", True)]
    assert (await database.fetch(limited, {"by": 1}))[0].n == 1
    assert database.pool_state().in_use == 0


async def test_what_cannot_be_sent_is_an_error_of_sqlalchemys(database: Database) -> None:
    """A value that is none of its parameter's type: nothing was done, and who asks whether it was is told so."""
    echo = select(bindparam("value", type_=JSONB).label("n"))
    assert await used(database, echo, {"value": [1]})
    with pytest.raises(sa.exc.StatementError, match="not JSON serializable") as raised:
        await database.fetch(echo, {"value": object()})
    assert refused(raised.value)
    assert (await database.fetch(echo, {"value": [2]}))[0].n == [2]


async def test_the_time_limit_of_statements_holds(database_url: str) -> None:
    """A kept statement is ended by it as any other."""
    database = Database(database_url, settings=DatabaseSettings(statement_timeout=0.1, retry_time=0))
    sleep = text("SELECT pg_sleep(:seconds)")
    assert await used(database, sleep, {"seconds": 0.0})
    with pytest.raises(DatabaseTimeoutError):
        await database.fetch(sleep, {"seconds": 60.0})
    await database.aclose()


async def test_a_connection_that_died_is_replaced(database: Database, database_url: str) -> None:
    """Where repeating is allowed, nobody notices."""
    database.settings = database.settings.model_copy(update={"retry_time": 5.0})
    statement = select(things.id)
    assert await used(database, statement)
    (row,) = await database.fetch(text("SELECT pg_backend_pid() AS pid"))
    connection = await asyncpg.connect(database_url)
    await connection.execute("SELECT pg_terminate_backend($1, 10000)", row.pid)
    await connection.close()
    assert len(await database.fetch(statement)) == 5


async def test_a_cancelled_statement_ends_and_its_connection_is_given_up(database: Database, database_url: str) -> None:
    """The next one gets another connection, and the server does nothing for nobody."""
    sleep = text("SELECT pg_sleep(:seconds) /* slept */")
    assert await used(database, sleep, {"seconds": 0.0})
    (row,) = await database.fetch(text("SELECT pg_backend_pid() AS pid"))
    watching = await asyncpg.connect(database_url)
    count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%slept%' AND state = 'active' AND pid = $1"

    async def active() -> bool:
        return bool(await watching.fetchval(count, row.pid))

    async def ended() -> bool:
        return not await active()

    task = asyncio.create_task(database.fetch(sleep, {"seconds": 600.0}))
    await wait_until(active)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await wait_until(ended)
    (other,) = await database.fetch(text("SELECT pg_backend_pid() AS pid"))
    assert other.pid != row.pid
    assert database.pool_state().in_use == 0
    await watching.close()


@pytest.mark.parametrize("to_all", [False, True])
async def test_whoever_listens_to_sqlalchemy_is_told(database: Database, to_all: bool) -> None:
    """Instruments of others see every statement, whether they listen to this engine or to all."""
    statement = select(things.id)
    assert await used(database, statement)
    seen: list[str] = []

    def listen(_connection: Any, _cursor: Any, sql: str, *_others: Any) -> None:
        seen.append(sql)

    target = sa.Engine if to_all else database.engine.sync_engine
    event.listen(target, "before_cursor_execute", listen)
    try:
        await database.fetch(statement)
    finally:
        event.remove(target, "before_cursor_execute", listen)
    assert len(seen) == 1
    assert database._compiled.find(statement, None) is not None


@pytest.mark.parametrize("moment", ["begin", "engine_connect"])
async def test_what_a_listener_sets_on_connections_holds(database: Database, moment: str) -> None:
    """A tenant that a listener sets is the tenant of kept statements, too, from whenever it listens."""
    statement = text("SELECT current_setting('my.tenant', true) AS tenant")
    assert await used(database, statement)
    tenant = ""

    def set_tenant(connection: sa.Connection) -> None:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT set_config('my.tenant', $1, false)", (tenant,))
        cursor.close()

    event.listen(database.engine.sync_engine, moment, set_tenant)
    for tenant in ("first", "second", "third"):
        assert [row.tenant for row in await database.fetch(statement)] == [tenant]


async def test_with_a_query_cache_statements_are_kept(database: Database) -> None:
    """It listens, too, and has nothing to do with what does not ask for it; whoever else listens is still told."""
    cache = Cache(MemoryStore())
    database.cache_queries(cache)
    statement = select(things.id)
    assert await used(database, statement)
    event.listen(database.engine.sync_engine, "begin", lambda _connection: None)
    assert database._compiled.find(statement, None) is None


@pytest.mark.parametrize(
    "statement",
    [
        text("SELECT set_config('search_path', 'public', false)"),
        select(sa.func.set_config("search_path", "public", False)),
        text("SET search_path TO public"),
        text("UPDATE things SET id = id"),
        select(things.id).execution_options(mine=True),
    ],
    ids=str,
)
async def test_what_is_not_plain_is_left_to_sqlalchemy(database: Database, statement: Any) -> None:
    """Settings are noticed there, writes are, and options mean something there."""
    assert [database._compiled.find(statement, None) for _ in range(USES + 1)] == [None] * (USES + 1)


async def test_only_so_many_are_kept(database: Database) -> None:
    """Statements that are made anew each time, or by the thousand, fill no memory."""
    for number in range(MOST + 20):
        statement = select(sa.literal(number))
        for _ in range(USES):
            database._compiled.find(statement, None)
        database._compiled.find(select(sa.literal(number)), None)
    assert len(database._compiled._kept) <= MOST
    assert len(database._compiled._uses) <= MOST


@pytest.mark.parametrize("settings", [DatabaseSettings(comments=True), DatabaseSettings(pre_ping=False)], ids=str)
@pytest.mark.parametrize("observed", [False, True])
async def test_tailraces_own_listeners_keep_nothing_from_being_kept(
    database_url: str, settings: DatabaseSettings, observed: bool
) -> None:
    """Whatever is switched on."""
    database = Database(database_url, settings=settings, observer=(lambda _event: None) if observed else None)
    assert await used(database, text("SELECT 1"))
    await database.aclose()


async def test_behind_a_pooler_nothing_is_kept(database_url: str) -> None:
    """The time limit of a statement is set within a transaction there, and prepared statements belong to nobody."""
    database = Database(database_url, settings=DatabaseSettings(pgbouncer=True))
    assert not await used(database, text("SELECT 1"))
    await database.aclose()


async def test_with_another_sqlalchemy_nothing_is_kept(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its inner names may mean something else there."""
    monkeypatch.setattr("tailrace.db.compiled_statements.__version__", "2.2.0")
    database = Database(database_url)
    assert not await used(database, text("SELECT 1"))
    await database.aclose()
