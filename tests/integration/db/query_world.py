"""A small shop to query: watched and unwatched tables, views, functions, and processes that cache what they read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import asyncpg
from sqlalchemy import ForeignKey, Text, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tailrace.cache import Cache
from tailrace.db import Database, DatabaseFreshness
from tailrace.events import Event, QueryAudited, QueryNotCached, StatementFinished
from tailrace.schema import Watch, apply
from tailrace.settings import DatabaseSettings, FreshnessSettings
from tailrace.stores import MemoryStore, Store

BOUND = 2.0
"""Seconds; a busy machine is not to be taken for a broken one."""


class Base(DeclarativeBase):
    """Of the shop."""


class Customer(Base):
    """Who buys."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", order_by="Order.id")


class Order(Base):
    """What was bought."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"))
    amount: Mapped[Decimal]
    placed_at: Mapped[datetime]
    reference: Mapped[UUID]
    customer: Mapped[Customer] = relationship(back_populates="orders")


TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE orders (
    id int PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, amount numeric NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT '2026-01-01 12:00+00', reference uuid NOT NULL DEFAULT gen_random_uuid()
);
CREATE TABLE notes (id int PRIMARY KEY, customer_id int, note text);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob'), (3, 'Cid');
INSERT INTO orders (id, customer_id, amount) VALUES (1, 1, 10.50), (2, 1, 20), (3, 2, 5);
INSERT INTO notes VALUES (1, 1, 'pays late');
CREATE VIEW spending AS SELECT customer_id, sum(amount) AS amount FROM orders GROUP BY customer_id;
CREATE VIEW spenders AS SELECT c.name, s.amount FROM customers c JOIN spending s ON s.customer_id = c.id;
"""
WATCHES = [Watch(Order.__table__, key="customer_id"), Watch(Customer.__table__)]


async def make_shop(url: str, more: str = "") -> None:
    """The tables, with ``more`` beside them, and watches on customers and orders."""
    await run(url, TABLES + more)
    await apply(url, WATCHES)


async def run(url: str, sql: str) -> None:
    """As psql would, on a connection of its own that knows nothing of Tailrace."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


class Process:
    """What one server process has, with what it was told."""

    def __init__(self, url: str, store: Store | None = None, bound: float = BOUND, **settings: object) -> None:
        self.events: list[Event] = []
        # An audit is a matter of chance, and sends statements: only who asks for it has it.
        usual = {"pool_size": 5, "max_overflow": 5, "retry_time": 0, "query_audit": 0}
        own = DatabaseSettings.model_validate({**usual, **settings})
        self.store = store or MemoryStore()
        self.database = Database(url, settings=own, observer=self.events.append)
        self.freshness = DatabaseFreshness(url, settings=FreshnessSettings(bound=bound), database_settings=own)
        self.cache = Cache(self.store, freshness=self.freshness, observer=self.events.append)
        self.freshness.attach(self.cache)
        self.database.commits = self.freshness
        self.queries = self.database.cache_queries(self.cache)

    def sent(self) -> int:
        """How many statements went to the database since the last call."""
        found = [e for e in self.events if isinstance(e, StatementFinished)]
        self.events[:] = [e for e in self.events if e not in found]
        return len(found)

    def refusals(self) -> list[str]:
        """Why statements were not cached since the last call."""
        found = [e.reason for e in self.events if isinstance(e, QueryNotCached)]
        self.events[:] = [e for e in self.events if not isinstance(e, QueryNotCached)]
        return found

    def audits(self) -> list[str]:
        """What audits found."""
        return [e.outcome for e in self.events if isinstance(e, QueryAudited)]


@asynccontextmanager
async def processes(
    url: str, *stores: Store | None, bound: float = BOUND, **settings: object
) -> AsyncIterator[list[Process]]:
    """Started processes, each with a store; stopped at the end."""
    made = [Process(url, store, bound, **settings) for store in stores or (None,)]
    for process in made:
        connect: Callable[[], object] | None = getattr(process.store, "connect", None)
        if connect is not None:
            await connect()  # type: ignore[misc]
        await process.freshness.start()
    try:
        yield made
    finally:
        for process in made:
            await process.cache.aclose()
            await process.freshness.aclose()
            await process.database.aclose()
            await process.store.aclose()


TOTALS = select(Customer.name, func.sum(Order.amount).label("amount")).join(Order.customer).group_by(Customer.name)
MOMENT = datetime(2026, 1, 1, 12, tzinfo=UTC)
