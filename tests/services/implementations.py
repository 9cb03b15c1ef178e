"""Both implementations of a service in this process, each on copies of its generated database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx2
from fastapi import FastAPI
from tests.conftest import Originals
from tests.waiting import wait_until

from tailrace.schema import apply

__all__ = ["IMPLEMENTATIONS", "Implementation", "client_of", "generated_for_each", "run_sql"]

IMPLEMENTATIONS = ("baseline", "optimised")


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
            await wait_until(self.app.state.tailrace.freshness.fence)

    async def sql(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement the way somebody with psql does: beside the service."""
        return await run_sql(self.database_url, statement, *arguments)


def generated_for_each(
    originals: Originals, prefix: str, fill: Callable[[str], Coroutine[Any, Any, None]], objects: Sequence[Any]
) -> dict[str, str]:
    """For each implementation the name of a database that ``fill`` filled, to make copies of; the optimised one with
    ``objects``."""
    names = {name: f"{prefix}_{name}" for name in IMPLEMENTATIONS}
    plain, optimised = names.values()
    originals.url(plain, fill)
    originals.url(optimised, lambda url: apply(url, objects), like=plain)
    return names


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
