"""One replica: its connections, and how they are given up when it no longer answers. Touches: drivers' connections.

A server that is frozen, or behind a line that swallows everything, keeps its connections open and says nothing: what
waits on them would wait for as long as the server is silent, since the time limit of a statement is the server's own.
So whoever notices the silence cuts them, and nobody connects again until the server has answered.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

from tailrace.db.engine import make_engine, make_relay_engine
from tailrace.events import Observer
from tailrace.settings import DatabaseSettings

__all__ = ["Cuttable", "Replica"]

UNSEEN = "not looked at yet"


class Cuttable:
    """An engine whose connections can be cut while they are in use: what waits on them fails at once.

    Args:
        engine: nobody has connected by it yet.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._out: set[ConnectionPoolEntry] = set()
        # Before all others: one of them asks the server whether it is there.
        event.listen(engine.sync_engine, "checkout", lambda _c, entry, _p: self._out.add(entry), insert=True)
        event.listen(engine.sync_engine, "checkin", lambda _c, entry: self._out.discard(entry))

    def cut(self) -> None:
        """End all connections that are in use, without a word to the server."""
        for entry in tuple(self._out):
            _cut(entry.driver_connection)

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        """Cut what is in use when the block has taken so long, and again when it has taken twice as long."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(seconds)
                self.cut()

        watching = asyncio.create_task(watch(), name="tailrace cutting")
        try:
            yield
        finally:
            watching.cancel()


class Replica(Cuttable):
    """One replica; the engine is for those who read.

    Args:
        name: in events and metrics.
        url: its address.
        settings: pool and timeouts.
        observer: receives pool and statement events.

    Attributes:
        asking: the connection that is asked how far it is.
        reached: the moment (monotonic) whose commits it all shows.
        level: the moment of the newest look at which it showed everything that anybody could have seen.
        problem: why it is not read from; None when only ``reached`` decides.
        measuring: the look at it that is under way, or was the last.
    """

    def __init__(self, name: str, url: str, settings: DatabaseSettings, observer: Observer | None) -> None:
        patience = min(settings.connect_timeout, settings.replica_timeout)
        settings = settings.model_copy(update={"connect_timeout": patience})
        super().__init__(make_engine(url, settings, observer, pool=name))
        direct = settings.model_copy(update={"direct_url": None})
        self.asking = Cuttable(make_relay_engine(url, direct, "tailrace-replicas", keep=True))
        self.name = name
        self.reached = self.level = float("-inf")
        self.problem: str | None = UNSEEN
        self.told: bool | None = None
        self.measuring: asyncio.Task[None] | None = None
        event.listen(self.engine.sync_engine, "do_connect", self._connecting)

    @property
    def seen(self) -> bool:
        """Whether it has been looked at."""
        return self.problem != UNSEEN

    def distrust(self, problem: str) -> None:
        """Have it read from no more, until a look finds it well."""
        self.problem = problem
        self.reached = self.level = float("-inf")

    async def aclose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        await self.asking.engine.dispose()

    def _connecting(self, *_: Any) -> None:
        if self.problem is not None:
            raise ConnectionRefusedError(f"{self.name} is not read from: {self.problem}")


def _cut(driver: Any) -> None:
    """asyncpg's connection, or psycopg's, which has no word for it: its socket is shut, so that who waits wakes up."""
    if driver is None:
        return
    if hasattr(driver, "terminate"):
        driver.terminate()
    elif not driver.closed:
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
