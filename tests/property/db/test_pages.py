"""Walking pages over random tables: every row once, in order, whichever way, whatever else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Numeric, Table, Text, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from tailrace.core.cursor import Cursors
from tailrace.db.engine import async_url
from tailrace.db.keyset import Order
from tailrace.db.pages import Page, Pages
from tailrace.embedded import PostgresServer

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer),
    Column("word", Text),
    Column("amount", Numeric, nullable=False),
)
CURSORS = Cursors([b"a secret of some length"])

VALUES = {
    "number": st.sampled_from([None, -1, 0, 1]),
    "word": st.sampled_from([None, "a", "b"]),
    "amount": st.sampled_from([Decimal("0.5"), Decimal("1.50"), Decimal(2)]),
}
IDS = st.integers(1, 30)
ROW = st.fixed_dictionaries({"id": IDS, **VALUES})
TABLES = st.lists(ROW, max_size=14, unique_by=lambda row: row["id"])
DIRECTIONS = st.tuples(st.booleans(), st.sampled_from([None, True, False]))
"""Descending, and whether NULLs come first; None: as PostgreSQL has it."""
ORDERS = st.tuples(
    st.lists(st.tuples(st.sampled_from(sorted(VALUES)), DIRECTIONS), max_size=3, unique_by=lambda term: term[0]),
    st.sampled_from([None, True, False]),
)
"""Columns with their directions, and whether the key is descending; None: as the last column is."""
CHANGES = st.lists(st.one_of(st.tuples(st.just("insert"), ROW), st.tuples(st.just("delete"), IDS)), max_size=3)


def order_of(drawn: Any) -> Order:
    terms, key_descends = drawn
    columns = []
    for name, (descending, nulls) in terms:
        column: Any = THINGS.c[name].desc() if descending else THINGS.c[name]
        columns.append(column if nulls is None else column.nulls_first() if nulls else column.nulls_last())
    key: Any = THINGS.c.id
    return Order(*columns, key=key if key_descends is None else key.desc() if key_descends else key.asc())


def in_order(rows: list[dict[str, Any]], drawn: Any) -> list[int]:
    """The model: ids in the order that was asked for, by stable sorts from the last column to the first."""
    terms, key_descends = drawn
    if key_descends is None:
        key_descends = terms[-1][1][0] if terms else False
    rows = sorted(rows, key=lambda row: row["id"], reverse=key_descends)
    for name, (descending, nulls) in reversed(terms):
        first = descending if nulls is None else nulls
        known = sorted([r for r in rows if r[name] is not None], key=lambda r: r[name], reverse=descending)
        unknown = [r for r in rows if r[name] is None]
        rows = [*unknown, *known] if first else [*known, *unknown]
    return [row["id"] for row in rows]


class World:
    """One connection with one table, driven from outside its event loop."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.engine = create_async_engine(async_url(url), poolclass=NullPool)
        self.connection: AsyncConnection = self.run(self._open())

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    async def _open(self) -> AsyncConnection:
        connection = await self.engine.connect()
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.run_sync(THINGS.create)
        return connection

    def fill(self, rows: list[dict[str, Any]]) -> None:
        self.run(self.connection.execute(delete(THINGS)))
        if rows:
            self.run(self.connection.execute(insert(THINGS), rows))

    def change(self, change: Any, rows: dict[int, dict[str, Any]]) -> None:
        kind, what = change
        if kind == "delete":
            rows.pop(what, None)
            self.run(self.connection.execute(delete(THINGS).where(THINGS.c.id == what)))
        elif what["id"] not in rows:
            rows[what["id"]] = what
            self.run(self.connection.execute(insert(THINGS), what))

    def page(self, pages: Pages, **asked: Any) -> Page[int]:
        request = pages.request(filters={}, identity=None, **asked)
        found: Page[int] = self.run(request.fetch(self.connection, select(THINGS.c.id)))
        return found

    def close(self) -> None:
        self.run(self.connection.close())
        self.run(self.engine.dispose())
        self.runner.close()


@pytest.fixture(scope="module")
def world(postgres: PostgresServer) -> Iterator[World]:
    postgres.create_database("random_pages")
    opened = World(postgres.url("random_pages"))
    yield opened
    opened.close()
    postgres.drop_database("random_pages")


thoroughly = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@thoroughly
@given(TABLES, ORDERS, st.integers(1, 5))
def test_pages_are_slices_of_the_order(world: World, rows: list[dict[str, Any]], drawn: Any, limit: int) -> None:
    """Forward, backward and by offset, the pages are what ``ORDER BY`` gives, cut into pieces; each knows whether there
    is more; and going back from a page gives the page before."""
    world.fill(rows)
    pages = Pages({"it": order_of(drawn)}, cursors=CURSORS)
    expected = in_order(rows, drawn)
    by_database = select(THINGS.c.id).order_by(*[term.ordered() for term in order_of(drawn).terms])
    assert list(world.run(world.connection.scalars(by_database))) == expected

    cursor, seen, before = None, 0, None
    while True:
        page = world.page(pages, limit=limit, cursor=cursor)
        assert page.items == expected[seen : seen + limit]
        assert page.items == world.page(pages, limit=limit, offset=seen).items
        assert page.has_next == (seen + limit < len(expected))
        assert page.has_previous == (seen > 0)
        if before is not None:
            assert world.page(pages, limit=limit, cursor=page.previous_cursor).items == before
        before, seen, cursor = page.items, seen + limit, page.next_cursor
        if cursor is None:
            break

    end, cursor = len(expected), page.last_cursor
    while True:
        page = world.page(pages, limit=limit, cursor=cursor)
        assert page.items == expected[max(0, end - limit) : end]
        assert page.has_previous == (end > limit)
        assert page.has_next == (end < len(expected))
        if page.next_cursor is not None:
            assert world.page(pages, limit=limit, cursor=page.next_cursor).items == expected[end : end + limit]
        end, cursor = end - limit, page.previous_cursor
        if cursor is None:
            break


def walk(
    world: World, pages: Pages, limit: int, cursor: str | None, following: Callable[[Page[int]], str | None]
) -> Iterator[list[int]]:
    """The pages from ``cursor`` on; whoever asks for them may change the table in between."""
    while True:
        page = world.page(pages, limit=limit, cursor=cursor)
        yield page.items
        cursor = following(page)
        if cursor is None:
            return


@thoroughly
@given(TABLES, ORDERS, st.integers(1, 4), st.booleans(), st.lists(CHANGES, max_size=12))
def test_rows_that_stay_are_seen_once(
    world: World, rows: list[dict[str, Any]], drawn: Any, limit: int, backward: bool, changes: list[Any]
) -> None:
    """With rows inserted and deleted between the pages, each row that was there throughout is seen exactly once, no row
    twice, and all in order."""
    world.fill(rows)
    pages = Pages({"it": order_of(drawn)}, cursors=CURSORS)
    present = {row["id"]: row for row in rows}
    everything, throughout = {row["id"]: [row] for row in rows}, set(present)
    cursor = world.page(pages, limit=limit).last_cursor if backward else None

    seen: list[int] = []
    todo = iter(changes)
    for items in walk(world, pages, limit, cursor, lambda page: page.previous_cursor if backward else page.next_cursor):
        seen = [*items, *seen] if backward else [*seen, *items]
        for change in next(todo, ()):
            world.change(change, present)
            throughout &= set(present)
            if change[0] == "insert" and present.get(change[1]["id"]) is change[1]:
                everything.setdefault(change[1]["id"], []).append(change[1])

    replaced = {key for key, versions in everything.items() if len(versions) > 1}
    once = [key for key in seen if key not in replaced]
    assert throughout - replaced <= set(once)
    assert len(once) == len(set(once))
    assert once == in_order([everything[key][0] for key in once], drawn)


@thoroughly
@given(TABLES, ORDERS, st.integers(1, 3), st.sets(IDS))
def test_the_way_back_from_a_page_that_vanished(
    world: World, rows: list[dict[str, Any]], drawn: Any, limit: int, gone: set[int]
) -> None:
    """When every row behind a position has been deleted, the page there is empty and the way back leads to what is left
    of the page before, the row at the position itself included."""
    expected = in_order(rows, drawn)
    if len(expected) <= limit:
        return
    world.fill(rows)
    pages = Pages({"it": order_of(drawn)}, cursors=CURSORS)
    cursor = world.page(pages, limit=limit).next_cursor
    gone = {*expected[limit:], *gone}
    world.run(world.connection.execute(delete(THINGS).where(THINGS.c.id.in_(gone))))
    page = world.page(pages, limit=limit, cursor=cursor)
    assert (page.items, page.has_next, page.has_previous) == ([], False, True)
    back = world.page(pages, limit=limit, cursor=page.previous_cursor)
    assert back.items == [key for key in expected if key not in gone]
    assert back.has_previous is False
