"""Pages of a large table: how much is read, what totals say, which orders an index serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    DOUBLE_PRECISION,
    REAL,
    BigInteger,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    bindparam,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column, selectinload
from sqlalchemy.orm import relationship as related
from sqlalchemy.pool import NullPool

from tailrace.core.cursor import Cursors, Position
from tailrace.db import Database
from tailrace.db.engine import async_url
from tailrace.db.keyset import Order, Term, page_statement
from tailrace.db.order_check import INDEXES_ONLY, check_order, judge_order
from tailrace.db.pages import Pages
from tailrace.db.plans import explain, nodes
from tailrace.db.totals import Total, count_statement, fetch_total
from tailrace.embedded import PostgresServer
from tailrace.errors import RequestError, SchemaError

ROWS = 200_000
METADATA = MetaData()
CALLS = Table(
    "calls",
    METADATA,
    Column("id", BigInteger, primary_key=True),
    Column("product", Text, nullable=False),
    Column("scheduled_at", DateTime(timezone=True)),
    Column("stage", Integer, nullable=False),
    Column("title", Text, nullable=False),
)
BASE = datetime(2026, 1, 1, tzinfo=UTC)
CURSORS = Cursors([b"a secret of some length"])

NEWEST = Order(CALLS.c.scheduled_at.desc().nulls_last(), key=CALLS.c.id)
BY_STAGE = Order(CALLS.c.stage.desc(), key=CALLS.c.id.asc())
BY_ID = Order(key=CALLS.c.id)
OF_PRODUCT = select(CALLS).where(CALLS.c.product == "p1")


class Base(DeclarativeBase):
    metadata = METADATA


class Call(Base):
    __table__ = CALLS
    notes: Mapped[list[Note]] = related(back_populates="call")


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    call_id: Mapped[int] = mapped_column(BigInteger, ForeignKey(CALLS.c.id))
    stars: Mapped[int] = mapped_column()
    call: Mapped[Call] = related(back_populates="notes")


@pytest.fixture(scope="module")
def big_url(postgres: PostgresServer) -> Iterator[str]:
    """200,000 calls: 40 products, times with many ties and a tenth NULL, five stages; a note on every third."""
    postgres.create_database("big_pages")
    yield postgres.url("big_pages")
    postgres.drop_database("big_pages")


@pytest.fixture(scope="module")
def filled_url(big_url: str) -> str:
    """The address, once everything is there."""
    asyncio.run(fill(big_url))
    return big_url


async def fill(url: str) -> None:
    engine = create_async_engine(async_url(url), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(METADATA.create_all)
        for statement in (
            f"INSERT INTO calls SELECT n, 'p' || n % 40, CASE WHEN n % 10 <> 0 THEN timestamptz '2026-01-01 UTC'"
            f" + (n * 7919 % 50000) * interval '1 minute' END, n % 5, md5(n::text) FROM generate_series(1, {ROWS}) n",
            "INSERT INTO notes SELECT n, n * 3, n % 7 FROM generate_series(1, 60000) n",
            "CREATE INDEX calls_newest ON calls (scheduled_at DESC NULLS LAST, id DESC)",
            "CREATE INDEX calls_product_newest ON calls (product, scheduled_at DESC NULLS LAST, id DESC)",
            "CREATE INDEX calls_stage ON calls (stage DESC, id)",
            "CREATE INDEX notes_call ON notes (call_id)",
            "VACUUM ANALYZE",
        ):
            await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def connection(filled_url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(async_url(filled_url), poolclass=NullPool)
    async with engine.connect() as opened:
        yield opened
    await engine.dispose()


async def buffers(connection: AsyncConnection, statement: Any) -> int:
    """Pages of tables and indexes that running ``statement`` touches."""
    written = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    found = await connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {written}"))
    plan = found.scalar_one()[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def at(minutes: int | None, key: int, **more: Any) -> Position:
    value = None if minutes is None else datetime.fromtimestamp(BASE.timestamp() + minutes * 60, UTC)
    return Position((value, key), **more)


@pytest.mark.parametrize(
    ("statement", "order", "position"),
    [
        (select(CALLS), NEWEST, at(25_000, 100_000)),
        (select(CALLS), NEWEST, at(25_000, 100_000, backward=True)),
        (select(CALLS), NEWEST, at(40, 3)),
        (select(CALLS), NEWEST, at(None, 100_000)),
        (select(CALLS), NEWEST, at(None, 199_000, backward=True)),
        (select(CALLS), NEWEST, Position(backward=True)),
        (OF_PRODUCT, NEWEST, at(25_000, 100_000)),
        (OF_PRODUCT, NEWEST, at(25_000, 100_000, backward=True)),
        (select(CALLS), BY_STAGE, Position((2, 100_000))),
        (select(CALLS), BY_STAGE, Position((2, 100_000), backward=True)),
        (select(CALLS), BY_STAGE, Position((3, 199_998))),
        (select(CALLS), BY_ID, Position((150_000,))),
    ],
)
async def test_a_deep_page_reads_no_more_than_the_first(
    connection: AsyncConnection, statement: Any, order: Order, position: Position
) -> None:
    """In 200,000 rows the first page and one far behind it touch the same number of buffers, but for one descent of the
    index for each of two ranges; every way in which a position can lie is tried."""
    first = await buffers(connection, page_statement(statement, order, Position(), 21))
    deep = await buffers(connection, page_statement(statement, order, position, 21))
    assert first <= 21 + 4
    assert deep <= 21 + 2 * 5


async def test_an_offset_does_read_more(connection: AsyncConnection) -> None:
    """The measure above can fail: the same page by offset touches thousands of buffers."""
    skipped = page_statement(select(CALLS), NEWEST, Position(), 21).offset(100_000)  # type: ignore[attr-defined]
    assert await buffers(connection, skipped) > 1_000


async def test_deep_pages_are_the_rows_of_the_order(connection: AsyncConnection) -> None:
    """A page far behind is what an offset would have found, only that nothing before it was read."""
    pages = Pages({"newest": NEWEST}, cursors=CURSORS, max_offset=ROWS)
    for offset in (100_000, 179_990, 190_000):
        by_offset = pages.request(offset=offset, filters={}, identity=None)
        page = await by_offset.fetch(connection, select(CALLS.c.id))
        behind = pages.request(cursor=page.next_cursor, filters={}, identity=None)
        after = pages.request(offset=offset + 20, filters={}, identity=None)
        expected = (await after.fetch(connection, select(CALLS.c.id))).items
        assert (await behind.fetch(connection, select(CALLS.c.id))).items == expected


@pytest.mark.parametrize(
    ("mode", "rows", "expected"),
    [
        ("none", OF_PRODUCT, Total(None, "unknown")),
        ("exact", OF_PRODUCT, Total(5_000, "exact")),
        ("capped", OF_PRODUCT, Total(1_000, "at_least")),
        ("capped", OF_PRODUCT.where(CALLS.c.id < 4_000), Total(100, "exact")),
        ("estimated", OF_PRODUCT.where(CALLS.c.id < 4_000), Total(100, "exact")),
        ("exact", OF_PRODUCT.where(CALLS.c.id < 0), Total(0, "exact")),
        ("exact", select(Call, Note).join(Note).order_by(Note.id).limit(3), Total(60_000, "exact")),
    ],
)
async def test_totals_say_what_they_are(connection: AsyncConnection, mode: Any, rows: Any, expected: Total) -> None:
    """Exact where every row was counted, ``at_least`` where counting stopped at the cap."""
    assert await fetch_total(connection, rows, mode, cap=1_000) == expected


async def test_an_estimate_is_near_and_says_so(connection: AsyncConnection) -> None:
    """After ANALYZE the planner knows a table's size within a tenth; no row is counted beyond the cap."""
    total = await fetch_total(connection, select(CALLS), "estimated", cap=1_000)
    assert total.meaning == "estimate"
    assert total.rows == pytest.approx(ROWS, rel=0.1)
    unlikely = select(CALLS).where(func.length(CALLS.c.title) == 32)  # the planner takes this for rare
    total = await fetch_total(connection, unlikely, "estimated", cap=5_000)
    assert total.rows is not None
    assert total.rows > 5_000  # more have been counted than it thinks there are


async def test_entities_and_their_collections(filled_url: str) -> None:
    """A statement of entities gives entities on every page, also where a page is put together from two ranges; what
    is loaded with them is loaded."""
    database = Database(filled_url)
    pages = Pages({"newest": Order(Call.scheduled_at.desc().nulls_last(), key=Call.id)}, cursors=CURSORS)  # type: ignore[attr-defined]
    statement = select(Call).where(Call.product == "p3").options(selectinload(Call.notes))  # type: ignore[attr-defined]
    ids: list[int] = []
    async with database.session() as session:
        cursor = None
        for _ in range(3):
            page = await pages.request(cursor=cursor, filters={}, identity=None).fetch(session, statement)
            assert all(isinstance(call, Call) for call in page.items)
            assert sum(len(call.notes) for call in page.items) == sum(
                call.id % 3 == 0 and call.id <= 180_000 for call in page.items
            )
            ids += [call.id for call in page.items]
            cursor = page.next_cursor
        expected = select(CALLS.c.id).where(CALLS.c.product == "p3")
        expected = expected.order_by(CALLS.c.scheduled_at.desc().nulls_last(), CALLS.c.id.desc()).limit(60)
        assert ids == list(await session.scalars(expected))
    await database.aclose()


async def test_columns_of_an_outer_join_may_be_null(connection: AsyncConnection) -> None:
    """An outer join makes a column nullable that is not in its own table; pages include the rows without a partner."""
    note = aliased(Note)
    statement = select(CALLS.c.id).outerjoin(note, note.call_id == CALLS.c.id).where(CALLS.c.id.between(100, 160))
    order = Order(note.stars.desc(), key=CALLS.c.id)
    pages = Pages({"stars": order}, cursors=CURSORS, limit=7)
    seen, cursor = [], None
    while True:
        page = await pages.request(cursor=cursor, filters={}, identity=None).fetch(connection, statement)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    expected = await connection.scalars(statement.order_by(note.stars.desc(), CALLS.c.id.desc()))
    assert seen == list(expected)
    with pytest.raises(ValueError, match="outer join"):
        page_statement(statement, Order(key=note.id), Position(), 1)


DRIVERS = ["postgresql+asyncpg", "postgresql+psycopg"]
ENDS = ("0001-01-01", "0001-12-31", "2026-01-01", "9999-12-30", "9999-12-31")
MOMENTS = (
    "0001-01-01 00:00:00",
    "0001-01-01 00:00:00.000001",
    "9999-12-31 23:59:59.999998",
    "9999-12-31 23:59:59.999999",
)
BEYOND = ("-infinity", "infinity")
TENTHS = tuple([str(Decimal(n) / 10) for n in range(10)])
LONG = ("1.000000000000000001", "1.000000000000000002", "1.000000000000000003", "NaN")


@dataclass(frozen=True)
class Numbered:
    """A table on whose every page is one row, of a column that is of one type and declared as perhaps another."""

    connection: AsyncConnection
    table: Table
    order: Order

    async def walk(self, *, backward: bool = False) -> list[int]:
        """The ids on the pages, one after the other; ends a few rows behind as many as there are."""
        pages = Pages({"value": self.order}, cursors=CURSORS, limit=1)
        seen: list[int] = []
        made: dict[Any, Any] = {}
        cursor = CURSORS.issue(Position(backward=backward), pages.request(filters={}, identity=None).binding)
        while cursor is not None and len(seen) < 40:
            request = pages.request(cursor=cursor, filters={}, identity=None)
            # The same statement for each request of its shape, as services keep them.
            prepared = made.setdefault(request.shape, request.statement(select(self.table.c.id)))
            page = await request.fetch(self.connection, select(self.table.c.id), prepared=prepared)
            seen += page.items
            cursor = page.previous_cursor if backward else page.next_cursor
        return seen

    async def all(self) -> list[int]:
        """The ids in the order, in one statement."""
        ordered = select(self.table.c.id).order_by(*[term.ordered() for term in self.order.terms])
        return list(await self.connection.scalars(ordered))


@asynccontextmanager
async def numbered(
    url: str, driver: str, kind: str, declared: Any, values: tuple[str, ...], *, descending: bool, nulls: bool
) -> AsyncIterator[Numbered]:
    table = Table(
        "measures", MetaData(), Column("id", BigInteger, primary_key=True), Column("value", declared, nullable=nulls)
    )
    engine = create_async_engine(url.replace("postgresql", driver, 1), poolclass=NullPool)
    order = Order(table.c.value.desc().nulls_last() if descending else table.c.value, key=table.c.id)
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE TEMPORARY TABLE measures (id bigint NOT NULL, value {kind})"))
            rows = [repr(value) for value in values] * 3 + ["NULL"] * 3 * nulls
            for at, value in enumerate(rows):
                await connection.execute(text(f"INSERT INTO measures VALUES ({at}, {value})".replace(":", r"\:")))
            yield Numbered(connection, table, order)
    finally:
        await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize(
    ("kind", "declared", "values"),
    [
        ("real", REAL(), TENTHS),
        ("real", Float(24), TENTHS),
        ("real", Float(), TENTHS),
        ("real", Float(asdecimal=True), TENTHS),
        ("real", DOUBLE_PRECISION(), TENTHS),
        ("double precision", REAL(), TENTHS),
        ("double precision", Float(), TENTHS),
        ("numeric", Numeric(), TENTHS),
        ("numeric", Numeric(), LONG),
        ("numeric", Numeric(asdecimal=False), LONG),
        ("date", Date(), ENDS),
        ("timestamp", DateTime(), MOMENTS),
        ("timestamptz", DateTime(timezone=True), tuple([f"{moment}+00" for moment in MOMENTS])),
    ],
)
@pytest.mark.parametrize(("descending", "nulls"), [(True, False), (False, True)])
async def test_values_that_drivers_change(
    filled_url: str, driver: str, kind: str, declared: Any, values: tuple[str, ...], descending: bool, nulls: bool
) -> None:
    """0.1 of four bytes is not 0.1 of eight, whatever the column is declared to be, and Python's last day is not
    infinity: whatever the driver makes of a value, each row is on one page, either way."""
    async with numbered(filled_url, driver, kind, declared, values, descending=descending, nulls=nulls) as world:
        expected = await world.all()
        assert len(expected) == 3 * (len(values) + nulls)
        assert await world.walk() == expected
        assert await world.walk(backward=True) == expected[::-1]


@pytest.mark.parametrize(
    ("kind", "declared", "values"),
    [
        ("date", Date(), (*ENDS, *BEYOND)),
        ("timestamp", DateTime(), (*MOMENTS, *BEYOND)),
        ("timestamptz", DateTime(timezone=True), (*[f"{moment}+00" for moment in MOMENTS], *BEYOND)),
    ],
)
@pytest.mark.parametrize("descending", [True, False])
async def test_infinity_is_not_the_last_day(
    filled_url: str, kind: str, declared: Any, values: tuple[str, ...], descending: bool
) -> None:
    """asyncpg reads both as the same day; each row is on one page nevertheless. psycopg refuses to read infinity, and
    so does a page by it, rather than to miss rows."""
    shape = {"descending": descending, "nulls": True}
    async with numbered(filled_url, DRIVERS[0], kind, declared, values, **shape) as world:
        expected = await world.all()
        assert await world.walk() == expected
        assert await world.walk(backward=True) == expected[::-1]
    async with numbered(filled_url, DRIVERS[1], kind, declared, values, **shape) as world:
        with pytest.raises(DataError, match=r"too (large|small)"):
            await world.walk()


@pytest.mark.parametrize("declared", [REAL(), Float()])
async def test_an_index_of_four_byte_floats_serves(connection: AsyncConnection, declared: Any) -> None:
    """What is compared in eight bytes is still one range of the index, and so is a day that goes as text."""
    table = Table(
        "scores",
        MetaData(),
        Column("id", BigInteger, primary_key=True),
        Column("score", declared),
        Column("until", Date(), nullable=False),
    )
    for statement in (
        "CREATE TEMPORARY TABLE scores (id bigint NOT NULL, score real, until date)",
        "CREATE INDEX scores_score ON scores (score, id)",
        "CREATE INDEX scores_until ON scores (until, id)",
    ):
        await connection.execute(text(statement))
    assert (await check_order(connection, select(table), Order(table.c.score, key=table.c.id))).served
    for last in (date.max, "infinity"):
        page = page_statement(select(table), Order(table.c.until, key=table.c.id), Position((last, 1)), 21)
        await connection.execute(INDEXES_ONLY)
        (range_,) = [
            node for node in nodes(await explain(connection, page)) if node.get("Index Name") == "scores_until"
        ]
        assert "ROW(until, id) >" in range_["Index Cond"]


async def test_rows_and_items(connection: AsyncConnection) -> None:
    """Rows keep the columns asked for and no others; ``item`` makes something else of them."""
    pages = Pages({"id": BY_ID}, cursors=CURSORS)
    request = pages.request(limit=2, cursor=None, filters={}, identity=None)
    page = await request.fetch(connection, select(CALLS.c.id, CALLS.c.product))
    assert [dict(row._mapping) for row in page.items] == [{"id": 1, "product": "p1"}, {"id": 2, "product": "p2"}]
    named = await request.fetch(connection, select(CALLS.c.id, CALLS.c.product), item=lambda row: row.product)
    assert named.items == ["p1", "p2"]


@pytest.mark.parametrize(
    ("statement", "order", "indexes"),
    [
        (select(CALLS), NEWEST, {"calls_newest"}),
        (OF_PRODUCT, NEWEST, {"calls_product_newest"}),
        (select(CALLS), BY_STAGE, {"calls_stage"}),
        (select(CALLS), BY_ID, {"calls_pkey"}),
        (select(Call).where(Call.product == "p1"), NEWEST, {"calls_product_newest"}),  # type: ignore[attr-defined]
    ],
)
async def test_orders_that_an_index_serves(
    connection: AsyncConnection, statement: Any, order: Order, indexes: set[str]
) -> None:
    """The check names the index, and leaves the connection's planner as it was."""
    verdict = await check_order(connection, statement, order)
    assert (set(verdict.indexes), verdict.filtered) == (indexes, ())
    assert (await connection.scalar(text("SHOW enable_sort"))) == "on"


@pytest.mark.parametrize(
    ("statement", "order", "problem"),
    [
        (select(CALLS), Order(CALLS.c.title, key=CALLS.c.id), "sorted by title, id"),
        (select(CALLS), Order(CALLS.c.scheduled_at.desc(), key=CALLS.c.id), "sorted by"),  # NULLs at the other end
        (select(CALLS), Order(CALLS.c.stage, key=CALLS.c.id), "sorted by"),  # the index runs the key the other way
        (select(CALLS), Order(CALLS.c.stage.desc(), CALLS.c.title, key=CALLS.c.id), "sorted by"),
        (select(CALLS), Order(func.lower(CALLS.c.title, type_=Text), key=CALLS.c.id), "sorted by (lower(title))"),
    ],
)
async def test_orders_that_no_index_serves(
    connection: AsyncConnection, statement: Any, order: Order, problem: str
) -> None:
    """Refused with what the planner would do and which index is missing."""
    with pytest.raises(SchemaError, match="no index serves the order") as refused:
        await check_order(connection, statement, order)
    assert problem in str(refused.value)


async def test_conditions_within_the_range_are_told(connection: AsyncConnection) -> None:
    """An index for the order but none for the order and the filter: served, and what is tested row by row is named."""
    verdict = await judge_order(connection, OF_PRODUCT, BY_STAGE)
    assert (verdict.served, verdict.indexes) == (True, ("calls_stage",))
    assert [("product" in condition) for condition in verdict.filtered] == [True]


async def test_the_check_does_not_depend_on_size(database_url: str) -> None:
    """An empty table, of which the planner would read everything, is judged by its indexes all the same."""
    engine = create_async_engine(async_url(database_url), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(METADATA.create_all)
        with pytest.raises(SchemaError, match=r"scheduled_at DESC NULLS LAST, calls\.id DESC"):
            await check_order(connection, select(CALLS), NEWEST)
        await connection.execute(text("CREATE INDEX ON calls (scheduled_at DESC NULLS LAST, id DESC)"))
        assert (await check_order(connection, select(CALLS), NEWEST)).served
        # The key is missing from this one, so ties would be sorted.
        await connection.execute(text("DROP INDEX calls_scheduled_at_id_idx"))
        await connection.execute(text("CREATE INDEX ON calls (scheduled_at DESC NULLS LAST)"))
        with pytest.raises(SchemaError):
            await check_order(connection, select(CALLS), NEWEST)
    await engine.dispose()


async def test_wrong_declarations_are_noticed(connection: AsyncConnection) -> None:
    """A key that may be NULL, a column that claims never to be and is, a value that no cursor holds."""
    with pytest.raises(ValueError, match="never NULL"):
        Order(key=CALLS.c.scheduled_at)
    lying = Order(Term(CALLS.c.scheduled_at, False, True, nullable=False), key=CALLS.c.id)
    pages = Pages(
        {"lying": lying, "row": Order(cast(CALLS.c.title, postgresql.BYTEA), key=CALLS.c.id)}, cursors=CURSORS
    )
    page = await pages.request(filters={}, identity=None).fetch(
        connection, select(CALLS).where(CALLS.c.scheduled_at.is_(None))
    )
    with pytest.raises(ValueError, match="outer-joined"):
        await pages.request(cursor=page.next_cursor, filters={}, identity=None).fetch(connection, select(CALLS))
    with pytest.raises(TypeError, match="bytes"):
        await pages.request(sort="row", filters={}, identity=None).fetch(connection, select(CALLS))


def test_a_column_that_changed_its_type_is_another_order() -> None:
    """A cursor issued before a migration is refused after it, rather than compared with a value of another type."""
    after = Table("calls", MetaData(), Column("id", BigInteger, primary_key=True), Column("scheduled_at", Text))
    request = Pages({"newest": NEWEST}, cursors=CURSORS).request(filters={}, identity=None)
    cursor = CURSORS.issue(at(1, 1), request.binding)
    changed = Pages({"newest": Order(after.c.scheduled_at.desc().nulls_last(), key=after.c.id)}, cursors=CURSORS)
    with pytest.raises(RequestError):
        changed.request(cursor=cursor, filters={}, identity=None)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"sort": "title; DROP TABLE calls"}, "invalid_page"),
        ({"limit": 0}, "invalid_page"),
        ({"limit": 101}, "invalid_page"),
        ({"offset": -1}, "invalid_page"),
        ({"offset": 1_001}, "page_too_deep"),
        ({"total": "exact"}, "invalid_page"),
        ({"offset": 1, "cursor": "x"}, "invalid_page"),
        ({"cursor": "x"}, "invalid_cursor"),
        ({"cursor": ""}, "invalid_cursor"),
    ],
)
def test_what_is_not_allowed_is_refused(asked: dict[str, Any], code: str) -> None:
    """Each with 400 and a name of its own, before the database is asked anything."""
    pages = Pages({"newest": NEWEST}, cursors=CURSORS, totals=["none", "capped"])
    with pytest.raises(RequestError) as refused:
        pages.request(filters={}, identity=None, **asked)
    assert (refused.value.status, refused.value.code) == (400, code)


async def test_one_statement_serves_every_request_of_its_shape(connection: AsyncConnection) -> None:
    """With other values, places and limits it gives the pages and totals that a statement of their own does."""
    pages = Pages({"newest": NEWEST}, cursors=CURSORS, totals=("none", "capped"), cap=100)
    open_ended = select(CALLS).where(CALLS.c.product == bindparam("product"))
    made: dict[Any, Any] = {}
    asked = 0
    for product, limit, offset in (("p1", 3, None), ("p2", 7, None), ("p20", 5, None), ("p3", 4, 9), ("p30", 2, 900)):
        # Of p20 and p30 no time is known, so that places have a NULL.
        own = select(CALLS).where(CALLS.c.product == product)
        cursors: list[str | None] = [None]
        for turn in range(4):
            request = pages.request(
                limit=limit,
                cursor=cursors[-1],
                offset=None if cursors[-1] else offset,
                total="capped",
                filters={"product": product},
                identity=None,
            )
            prepared = made.setdefault(request.shape, request.statement(open_ended))
            page = await request.fetch(connection, open_ended, prepared=prepared, parameters={"product": product})
            assert page == await request.fetch(connection, own)
            assert len(page.items) == limit
            cursors.append(page.next_cursor if turn < 2 else page.previous_cursor)
            asked += 1
    assert len(made) == 6 < asked


async def test_a_page_of_a_fixed_size_is_the_same_page(connection: AsyncConnection) -> None:
    """With the number in the statement as with a parameter, at any place; a position by offset has none."""
    pages = Pages({"newest": NEWEST}, cursors=CURSORS)
    cursor = None
    for _ in range(3):
        request = pages.request(limit=7, cursor=cursor, filters={}, identity=None)
        fixed = request.statement(select(CALLS), fixed=True)
        assert "LIMIT 8" in str(fixed)
        page = await request.fetch(connection, select(CALLS), prepared=fixed)
        assert page == await request.fetch(connection, select(CALLS))
        assert len(page.items) == 7
        cursor = page.next_cursor
    with pytest.raises(ValueError, match="not fixed"):
        pages.request(offset=5, filters={}, identity=None).statement(select(CALLS), fixed=True)


@pytest.mark.parametrize(("mode", "cap"), [("capped", 10), ("capped", ROWS + 1), ("estimated", 10)])
async def test_what_counts_may_be_made_once(connection: AsyncConnection, mode: Any, cap: int) -> None:
    """A statement that was made before gives the total that one of its own does."""
    counting = count_statement(select(CALLS.c.id), cap=cap)
    own = await fetch_total(connection, select(CALLS.c.id), mode, cap=cap)
    assert await fetch_total(connection, select(CALLS.c.id), mode, cap=cap, counting=counting) == own


async def test_a_page_of_several_ranges(connection: AsyncConnection) -> None:
    """Merged of a range for each value it is the page of all of them, at any place, NULLs included; without offset."""
    pages = Pages({"newest": NEWEST}, cursors=CURSORS)
    products = ("p1", "p2", "p20")  # of p20 no time is known
    one_of = select(CALLS).where(CALLS.c.product.in_(products))
    ranges = [CALLS.c.product == product for product in products]
    cursor, backward, walked = None, 0, 0
    while backward < 3:
        request = pages.request(limit=100, cursor=cursor, filters={}, identity=None)
        page = await request.fetch(connection, select(CALLS), prepared=request.statement(select(CALLS), ranges))
        assert page == await request.fetch(connection, one_of)
        walked += len(page.items)
        backward += page.next_cursor is None or backward > 0
        cursor = page.previous_cursor if backward else page.next_cursor
    rows = (await connection.execute(select(func.count()).select_from(one_of.subquery()))).scalar_one()
    assert walked > rows > 1000
    with pytest.raises(ValueError, match="no offset"):
        pages.request(offset=5, filters={}, identity=None).statement(select(CALLS), ranges)
