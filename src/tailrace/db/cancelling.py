"""Statements whose requests were cancelled end in the database, too. Touches: drivers' connections, the network.

A driver that is cancelled asks the server, by a connection of its own, to cancel the statement: once. A server that has
yet to read the statement, as where processors are short, has nothing to cancel then, and runs it to its end for nobody,
while the connection stays with it. So it is asked again, soon and then ever less often, until the connection has ended.
It can hit no other statement: a connection that was cancelled is given up. What the server never hears of, because this
process was killed or psycopg was cancelled twice, ends by ``statement_timeout``, or by
``client_connection_check_interval`` where the server has one.

**Source:** PostgreSQL documentation, 53.2.8 (canceling requests in progress: "there is no guarantee").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["insist_on_cancelling", "insisting_psycopg"]

FIRST, GROWTH, LONGEST = 0.03, 1.5, 0.08
"""Seconds between two requests to cancel: a statement that the first one meets is over by then."""
PATIENCE = 5.0
"""Seconds after which a server that does not react is left alone; so long psycopg waits for it."""
UNHEARD = 3
"""Requests for a connection that was cut before the server had said anything."""


def insist_on_cancelling(engine: Engine) -> None:
    """Ask again for what asyncpg asks once."""
    insisting: set[asyncio.Task[None]] = set()

    def invalidated(connection: Any, _entry: ConnectionPoolEntry, exception: BaseException | None) -> None:
        driver = connection.driver_connection
        if isinstance(exception, asyncio.CancelledError) and hasattr(driver, "_cancel") and not driver.is_closed():
            task = asyncio.get_running_loop().create_task(_insist(*_by_asyncpg(driver)), name="tailrace cancelling")
            insisting.add(task)
            task.add_done_callback(insisting.discard)

    event.listen(engine, "invalidate", invalidated)


def insisting_psycopg() -> Callable[..., Awaitable[Any]]:
    """What makes connections of psycopg that ask again.

    Raises:
        ImportError: psycopg is not installed.
    """
    from psycopg import AsyncConnection
    from psycopg.pq import TransactionStatus

    class InsistingConnection(AsyncConnection[Any]):
        """Waits for the end of what it cancelled, and asks again meanwhile."""

        async def wait(self, *arguments: Any, **named: Any) -> Any:
            """Run the driver's generator; its own waiting for a cancelled statement is within."""
            try:
                return await super().wait(*arguments, **named)
            finally:
                task = self.__dict__.pop("insisting", None)
                if task is not None:
                    task.cancel()

        async def _try_cancel(self, *, timeout: float = PATIENCE) -> None:
            await super()._try_cancel(timeout=timeout)
            waits = self.pgconn.transaction_status == TransactionStatus.ACTIVE
            if waits:
                asking = _insist(lambda: super(InsistingConnection, self)._try_cancel(timeout=1.0), lambda _: True)
                self.__dict__["insisting"] = asyncio.create_task(asking, name="tailrace cancelling")

    return InsistingConnection.connect


def _by_asyncpg(connection: Any) -> tuple[Callable[[], Awaitable[Any]], Callable[[int], bool]]:
    """How to ask once more, and whether to after so many times."""
    from asyncpg import connect_utils

    library: Any = connect_utils  # there is no public name for it
    protocol, ask = connection._protocol, library._cancel
    of = {"backend_pid": protocol.backend_pid, "backend_secret": protocol.backend_secret}
    named = {"loop": asyncio.get_running_loop(), "addr": connection._addr, "params": connection._params, **of}
    transport = connection._transport

    def needed(asked: int) -> bool:
        return not transport.is_closing() or (connection._aborted and asked < UNHEARD)

    return lambda: ask(**named), needed


async def _insist(ask: Callable[[], Awaitable[Any]], needed: Callable[[int], bool]) -> None:
    """Ask until nothing is left to cancel; who could not be reached is asked again like who did not hear."""
    pause, waited, asked = FIRST, 0.0, 0
    while waited < PATIENCE:
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * GROWTH, LONGEST)
        if not needed(asked):
            return
        asked += 1
        try:
            async with asyncio.timeout(1.0):
                await ask()
        except (OSError, TimeoutError):
            continue
