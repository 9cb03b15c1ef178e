"""The service that soaks: every layer, a database that is watched, the query cache, ever new clients and answers."""

from __future__ import annotations

from multiprocessing.connection import Connection

import asyncpg
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Column, Index, Integer, MetaData, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from bench.arena import failures
from bench.asking import ASGIApp
from bench.contender import Surroundings
from bench.loopback import SERVERS
from bench.stacks import user
from tailrace import Tailrace, cached
from tailrace.db import Database, QueryPolicy
from tailrace.schema import Watch, apply
from tailrace.settings import CacheSettings, DatabaseSettings, RateLimitSettings, Settings

__all__ = ["CUSTOMERS", "prepare", "serve"]

CUSTOMERS = 20_000
ENTRIES = 2000
LINES = 60
POOL = 5
PATIENCE = 20.0
"""Seconds for which a connection is waited for: what a busy machine holds up is no failure here."""

metadata = MetaData()
orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", Integer, nullable=False),
    Column("amount", Integer, nullable=False),
    Index("orders_customer", "customer"),
)
WATCHES = [Watch(orders, key="customer")]

OWN = select(orders.c.id, orders.c.amount).where(orders.c.customer == bindparam("customer")).order_by(orders.c.id)
TOTAL = select(func.count(), func.sum(orders.c.amount)).where(
    orders.c.customer.between(bindparam("first"), bindparam("last"))
)
RAISE = update(orders).where(orders.c.customer == bindparam("whose")).values(amount=orders.c.amount + 1)
TOTALS = QueryPolicy("totals", ttl=600)


async def prepare(url: str) -> None:
    """A row for each customer, and what Tailrace keeps in the database."""
    connection = await asyncpg.connect(url)
    try:
        for made in (CreateTable(orders), *map(CreateIndex, orders.indexes)):
            await connection.execute(str(made.compile(dialect=postgresql.dialect())))
        await connection.execute(f"INSERT INTO orders SELECT n, n, 1 FROM generate_series(0, {CUSTOMERS - 1}) AS n")
        await connection.execute("VACUUM (ANALYZE) orders")
    finally:
        await connection.close()
    await apply(url, WATCHES)


def serve(pipe: Connection, surroundings: Surroundings) -> None:
    """Serve until the pipe is closed."""

    async def run() -> None:
        await SERVERS["uvicorn"](pipe, _application(surroundings))

    failures(pipe, run)


def _application(surroundings: Surroundings) -> ASGIApp:
    app = FastAPI()
    settings = Settings(
        database_url=SecretStr(surroundings.database_url),
        valkey_url=SecretStr(surroundings.valkey_url),
        cache=CacheSettings(memory_entries=ENTRIES),
        database=DatabaseSettings(pool_size=POOL, max_overflow=POOL, pool_timeout=PATIENCE),
        rate_limit=RateLimitSettings(general=surroundings.rate, mode="leased"),
    )
    served: Tailrace = Tailrace(app, settings)

    def database() -> Database:
        assert served.database is not None
        return served.database

    @app.get("/lines/{number}")
    @cached(ttl=600, identity=user)
    async def lines(number: int, page: int, n: int) -> list[str]:
        return [f"line {each} of {number}, page {page}, asked as {n}" for each in range(LINES)]

    @app.get("/orders/{customer}")
    @cached(ttl=600, shared=True, depends_on=lambda identity, path, query: (f"orders:customer={path['customer']}",))
    async def own(customer: int) -> list[dict[str, int]]:
        return [dict(row._mapping) for row in await database().fetch(OWN, {"customer": customer})]

    @app.get("/totals/{first}")
    async def totals(first: int, last: int) -> list[int]:
        async with database().session(cached=TOTALS) as session:
            (row,) = await session.execute(TOTAL, {"first": first, "last": last})
            return [row[0], row[1] or 0]

    @app.post("/orders/{customer}")
    async def more(customer: int) -> None:
        await database().run(lambda session: session.execute(RAISE, {"whose": customer}))

    return served
