"""An engine whose connections can be aborted under those who wait on them. Touches: drivers' connections.

A server that is frozen, or behind a line that swallows everything, keeps its connections open and says nothing: what
waits on them would wait for as long as the server is silent, since the time limit of a statement is the server's own.
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

__all__ = ["AbortableEngine", "abort"]


class AbortableEngine:
    """An engine whose connections can be aborted while they are in use: what waits on them fails at once.

    Args:
        engine: nobody has connected by it yet.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._out: set[ConnectionPoolEntry] = set()
        # Before all others: one of them asks the server whether it is there.
        event.listen(engine.sync_engine, "checkout", lambda _c, entry, _p: self._out.add(entry), insert=True)
        event.listen(engine.sync_engine, "checkin", lambda _c, entry: self._out.discard(entry))

    def abort(self) -> None:
        """End all connections that are in use, without a word to the server."""
        for entry in tuple(self._out):
            abort(entry.driver_connection)

    @contextmanager
    def abort_after(self, seconds: float) -> Iterator[None]:
        """Abort what is in use when the block has taken so long, and again when it has taken twice as long."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(seconds)
                self.abort()

        watching = asyncio.create_task(watch(), name="tailrace aborting")
        try:
            yield
        finally:
            watching.cancel()


def abort(driver: Any) -> None:
    """End a connection without a word to the server, so that who waits on it wakes up.

    psycopg has no word for it: its socket is shut.
    """
    if driver is None:
        return
    if hasattr(driver, "terminate"):
        driver.terminate()
    elif not driver.closed:
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
