"""Both implementations of a service in this process, each on copies of its generated database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
from fastapi import FastAPI

from tailrace.embedded import PostgresServer
from tailrace.schema import apply

__all__ = ["IMPLEMENTATIONS", "Implementation", "client_of", "copies", "originals", "run_sql"]

IMPLEMENTATIONS = ("baseline", "optimised")

_numbers = itertools.count(1)


@dataclass
class Implementation:
    """One implementation of a service, running in this process on its own database."""

    name: str
    database_url: str
    app: FastAPI
    client: httpx2.AsyncClient

    async def settled(self) -> None:
        """Return once what was written beside the service is known to it."""
        if self.name == "optimised":
            assert await self.app.state.tailrace.freshness.fence()

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement the way somebody with psql does: beside the service."""
        return await run_sql(self.database_url, statement, *arguments)


def originals(
    postgres: PostgresServer, prefix: str, fill: Callable[[str], Awaitable[None]], objects: Sequence[Any]
) -> dict[str, str]:
    """For each implementation the name of a database that ``fill`` filled, to make copies of; the optimised one with
    ``objects``."""
    names = {name: f"{prefix}_{name}" for name in IMPLEMENTATIONS}
    plain, optimised = names.values()

    async def work() -> None:
        await fill(postgres.url(plain))

    postgres.create_database(plain)
    asyncio.run(work())
    postgres.create_database(optimised, template=plain)
    asyncio.run(apply(postgres.url(optimised), objects))
    return names


@contextmanager
def copies(postgres: PostgresServer, prefix: str, names: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """Makes copies for an implementation, by their addresses; dropped at the end."""
    made: list[str] = []

    def make(implementation: str) -> str:
        name = f"{prefix}_{next(_numbers)}"
        postgres.create_database(name, template=names[implementation])
        made.append(name)
        return postgres.url(name)

    yield make
    for name in made:
        postgres.drop_database(name)


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of ``app``, which runs meanwhile."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def run_sql(url: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """Run a statement the way somebody with psql does: beside the service."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()
