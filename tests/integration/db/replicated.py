"""A primary with replicas, and a database that knows of them."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

from pydantic import SecretStr
from sqlalchemy import text
from tests.conftest import UNSAFE_BUT_FAST

from tailrace.db import Database
from tailrace.embedded import PostgresServer
from tailrace.events import Event
from tailrace.settings import DatabaseSettings

__all__ = ["LAG", "SETTINGS", "WHERE", "frozen", "numbers", "opened", "port", "reads_from"]

LAG = 0.5
SETTINGS = {**UNSAFE_BUT_FAST, "full_page_writes": "on"}
"""A replica of a replica cannot be made without."""
WHERE = text("SELECT inet_server_port()")
numbers = count(1)
"""For folders of servers."""


@asynccontextmanager
async def opened(
    primary: PostgresServer,
    *replicas: PostgresServer,
    lag: float = LAG,
    driver: str = "postgresql",
    timeout: float = 1.0,
) -> AsyncIterator[tuple[Database, list[Event]]]:
    """A database with replicas, once all of them have been looked at."""
    events: list[Event] = []
    settings = DatabaseSettings(
        replica_urls=tuple(SecretStr(server.url().replace("postgresql", driver, 1)) for server in replicas),
        replica_lag=lag,
        replica_interval=0.05,
        replica_timeout=timeout,
        retry_time=0,
        pool_size=3,
    )
    database = Database(primary.url(), settings=settings, observer=events.append)
    assert database.replicas is not None
    await database.replicas.choose(None)
    try:
        yield database, events
    finally:
        await database.aclose()


async def port(database: Database, **options: bool) -> int:
    """Where a session goes."""
    async with database.session(**options) as session:
        return int((await session.execute(WHERE)).scalar_one())


async def reads_from(database: Database, server: PostgresServer) -> bool:
    """Whether a session that only reads goes to ``server``."""
    return await port(database, read_only=True) == server.port


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """No process of the server runs, nor is any started; its connections stay open."""
    stopped: list[int] = []
    while found := [pid for pid in server._processes() if pid not in stopped]:  # the postmaster first
        for pid in found:
            os.kill(pid, signal.SIGSTOP)
        stopped += found
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
