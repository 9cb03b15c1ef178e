"""The queue's statements on SQLAlchemy's connections. Touches: connections, time.

The library asks for a driver that runs statements with ``$1`` for parameters and tells of notifications. Here are two:
one on the caller's own connection, so that what it does is part of the caller's transaction; and one for workers, which
outlasts the database: while it is away statements wait and are sent again.

Any of a worker's statements may be sent twice. Those that change something say by id what is to be so, and a job that
was taken by an answer that never came shows no sign of life and is taken up again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from pgqueuer.core.tm import TaskManager
from pgqueuer.ports.driver import NotifyCallback
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tailrace.core.backoff import Backoff
from tailrace.db.errors import FAILURES, FOREIGN, translate
from tailrace.errors import DatabaseError, DatabaseUnavailableError

__all__ = ["ConnectionDriver", "WorkerDriver"]

_log = logging.getLogger("tailrace.jobs")

PAUSES = Backoff(base=0.2, cap=5.0)
"""Between two attempts to reach a database that is away."""
PLACEHOLDER = re.compile(r"\$(\d+)")

Rows = list[dict[str, object]]


async def run(connection: AsyncConnection, query: str, arguments: tuple[object, ...]) -> Rows:
    """The rows of one statement, by whichever driver the connection has. JSON stays text, as the library reads it."""
    if connection.dialect.driver == "asyncpg":
        result = await connection.exec_driver_sql(query, arguments)
    else:
        named = {f"p{number}": value for number, value in enumerate(arguments, 1)}
        result = await connection.exec_driver_sql(PLACEHOLDER.sub(r"%(p\1)s", query.replace("%", "%%")), named)
    if not result.returns_rows:
        return []
    return [
        {name: json.dumps(value) if isinstance(value, dict) else value for name, value in row.items()}
        for row in result.mappings()
    ]


class _Driver(ABC):
    """What the library asks of every driver."""

    def __init__(self) -> None:
        self._shutdown = asyncio.Event()
        self._tm = TaskManager()

    @property
    def shutdown(self) -> asyncio.Event:
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        return self._tm

    @abstractmethod
    async def fetch(self, query: str, *args: object) -> Rows:
        """The rows of one statement."""

    async def execute(self, query: str, *args: object) -> str:
        """The same without its rows."""
        await self.fetch(query, *args)
        return ""

    async def __aenter__(self) -> Self:
        return self


class ConnectionDriver(_Driver):
    """On one connection, in whatever transaction it is; it hears nothing.

    Args:
        connection: the caller's; neither committed nor closed here.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> Rows:
        return await run(self._connection, query, args)

    async def notify(self, channel: str, payload: str) -> None:
        await self.execute("SELECT pg_notify($1, $2)", channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        raise RuntimeError("a connection that somebody else uses cannot wait for notifications")

    async def __aexit__(self, *_: object) -> None:
        return None


class WorkerDriver(_Driver):
    """On an engine, each statement in a transaction of its own; hears of new jobs on a connection kept for that.

    Args:
        engine: runs the statements.
        listening: makes the connection that hears; None where none can be kept (PgBouncer) or the database's driver
            does not say: jobs are then found by looking.
        random: a number in 0..1, evenly distributed, for the jitter of pauses.
    """

    def __init__(self, engine: AsyncEngine, listening: AsyncEngine | None, random: Callable[[], float]) -> None:
        super().__init__()
        self._engine = engine
        self._listening = listening
        self._random = random
        self._callbacks: list[tuple[str, NotifyCallback]] = []
        self._listener: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        """Once set, a statement that fails is not sent again: whoever stops cannot wait for the database."""

    async def fetch(self, query: str, *args: object) -> Rows:
        failed = 0
        while True:
            try:
                async with self._engine.begin() as connection:
                    return await run(connection, query, args)
            except FOREIGN as error:
                await self._pause_or_raise(error, failed)
                failed += 1

    async def _pause_or_raise(self, error: Exception, failed: int) -> None:
        """Wait before the next attempt.

        Raises:
            DatabaseError: it was a passing failure, and this worker stops.
            Exception: it was none; what the database said, as its driver raises it, for the library to judge.
        """
        found = translate(error)
        if found is None or not found.retryable:
            said = error.orig.__cause__ or error.orig if isinstance(error, DBAPIError) and error.orig else None
            if said is None:
                raise error
            raise said from error
        if self.stopping.is_set():
            raise found from error
        if failed == 0 and isinstance(found, DatabaseUnavailableError):
            _log.warning("the queue is not reachable: %s; jobs under way go on, others wait", found)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), PAUSES.delay(failed, self._random()))

    # --- hearing -----------------------------------------------------------------------------------------------------

    async def notify(self, channel: str, payload: str) -> None:
        """Only the library's test of its own listener notifies; here nobody depends on one."""

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        self._callbacks.append((channel, callback))
        if self._listening is not None and self._listener is None:
            self._listener = asyncio.create_task(self._listen(self._listening), name="tailrace jobs listener")

    async def _listen(self, engine: AsyncEngine) -> None:
        """Hear, on a new connection whenever one is lost."""
        failed = 0
        while True:
            try:
                async with engine.connect() as connection:
                    raw: Any = (await connection.get_raw_connection()).driver_connection
                    lost = asyncio.Event()
                    raw.add_termination_listener(lambda _connection, lost=lost: lost.set())
                    for channel, callback in self._callbacks:
                        await raw.add_listener(channel, lambda _c, _p, _ch, payload, tell=callback: tell(payload))
                    failed = 0
                    await lost.wait()
                    await connection.invalidate()
            except FAILURES as error:
                found = error if isinstance(error, DatabaseError) else translate(error)
                if found is None:
                    raise
            await asyncio.sleep(PAUSES.delay(failed, self._random()))
            failed += 1

    async def __aexit__(self, *_: object) -> None:
        listener, self._listener = self._listener, None
        self._callbacks.clear()
        if listener is not None:
            listener.cancel()
            await asyncio.wait({listener})
