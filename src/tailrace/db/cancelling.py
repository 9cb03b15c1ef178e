"""Statements whose requests were cancelled end in the database, too. Touches: drivers' connections, the network.

A driver that is cancelled asks the server, by a connection of its own, to cancel the statement: once. A server that has
yet to read the statement, as where processors are short, has nothing to cancel then, and runs it to its end for nobody,
while the connection stays with it. So it is asked again, soon and then ever less often, until the connection has ended.
It can hit no other statement: a connection that was cancelled is given up. What the server never hears of, because this
process was killed or psycopg was cancelled twice, ends by ``statement_timeout``, or by
``client_connection_check_interval`` where the server has one.

No request is broken off, however long the server takes to hear it: PgBouncer before 1.19.1 ends itself when a client
leaves whose request it is passing on (issue 801 of its own).

**Source:** PostgreSQL documentation, 53.2.8 (canceling requests in progress: "there is no guarantee").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from tailrace.db.abortable_engine import abort
from tailrace.db.silence import SilenceError

__all__ = ["insist_on_cancelling", "insisting_psycopg", "patient_asyncpg"]

FIRST, GROWTH, LONGEST = 0.03, 1.5, 0.08
"""Seconds between two requests to cancel: a statement that the first one meets is over by then."""
PATIENCE = 5.0
"""Seconds after which a server that does not react is left alone; so long psycopg waits for it."""
GRACE = 1.0
"""Seconds for which a server may take to hear that a statement is to end, and as many to end it."""
LONG = 600.0
"""Seconds after which psycopg breaks a request off."""
INSISTING, GIVING_UP = "insisting", "giving_up"
"""Tasks of a connection of psycopg."""
UNHEARD = 3
"""Requests for a connection that was cut before the server had said anything."""


class _Requests:
    """Tasks that go on when nobody waits for them any more."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    def keep(self, task: asyncio.Task[Any]) -> None:
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def wait(self, request: Coroutine[Any, Any, Any], seconds: float) -> asyncio.Task[Any]:
        """Return when the request has ended, or after so many seconds."""
        task = asyncio.create_task(request, name="tailrace cancelling")
        self.keep(task)
        await asyncio.wait({task}, timeout=seconds)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # who could not be reached has nothing to cancel, or is asked again


def insist_on_cancelling(engine: Engine) -> None:
    """Ask again for what asyncpg asks once."""
    requests = _Requests()

    def invalidated(connection: Any, _entry: ConnectionPoolEntry, exception: BaseException | None) -> None:
        driver = connection.driver_connection
        given_up = isinstance(exception, asyncio.CancelledError | TimeoutError)
        if given_up and hasattr(driver, "_cancel") and not driver.is_closed():
            for task in driver._cancellations:
                requests.keep(task)
            driver._cancellations.clear()  # the driver would break its own off as the connection is closed
            insisting = _insist(requests, *_by_asyncpg(driver))
            requests.keep(asyncio.get_running_loop().create_task(insisting, name="tailrace cancelling"))

    event.listen(engine, "invalidate", invalidated)


def insisting_psycopg(limit: float) -> Callable[..., Awaitable[Any]]:
    """What makes connections of psycopg that ask again.

    Args:
        limit: seconds after which a server that does not answer is given up.

    Raises:
        ImportError: psycopg is not installed.
    """
    from psycopg import AsyncConnection, Error
    from psycopg.pq import TransactionStatus

    requests = _Requests()

    class InsistingConnection(AsyncConnection[Any]):
        """Waits for the end of what it cancelled, and asks again meanwhile."""

        async def wait(self, *arguments: Any, **named: Any) -> Any:
            """Run the driver's generator; its own waiting for a cancelled statement is within.

            Raises:
                SilenceError: the server has not answered in time. The connection is of no use any more.
            """
            timer = asyncio.get_running_loop().call_later(limit, self._begin_giving_up)
            try:
                return await super().wait(*arguments, **named)
            except Error as error:
                _tell_silence(self, error)
                raise
            finally:
                timer.cancel()
                _end_own(self)

        def _begin_giving_up(self) -> None:
            self.__dict__[GIVING_UP] = asyncio.create_task(self._give_up(), name="tailrace giving up")

        async def _give_up(self) -> None:
            """A server that runs is asked to end the statement, and says so; any other is waited for no more."""
            await requests.wait(self._ask(), GRACE)
            await asyncio.sleep(GRACE)
            abort(self)

        async def _try_cancel(self, *, timeout: float = PATIENCE) -> None:
            await requests.wait(self._ask(), timeout)
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                asking = _insist(requests, self._ask, lambda _: True)
                self.__dict__[INSISTING] = asyncio.create_task(asking, name="tailrace cancelling")

        def _ask(self) -> Coroutine[Any, Any, None]:
            return super()._try_cancel(timeout=LONG)

    return InsistingConnection.connect


def _tell_silence(connection: Any, error: Exception) -> None:
    """Raise what ``error`` is on a connection of psycopg that was given up."""
    if GIVING_UP in connection.__dict__ and connection.closed:
        raise SilenceError("the server has not answered") from error


def _end_own(connection: Any) -> None:
    """End what a connection of psycopg does about one statement."""
    for name in (INSISTING, GIVING_UP):
        task = connection.__dict__.pop(name, None)
        if task is not None:
            task.cancel()


def patient_asyncpg() -> type[Any]:
    """The class of a connection of asyncpg that leaves its request to cancel for as long as it takes to be heard."""
    import asyncpg

    connection: Any = asyncpg.Connection  # there are no public names for what follows

    class PatientConnection(connection):  # type: ignore[misc]
        """asyncpg gives a request the time of a statement, and breaks it off then."""

        def _cancel_current_command(self, *waiters: Any) -> None:
            driver: Any = self
            config = driver._config
            driver._config = config._replace(command_timeout=None)
            super()._cancel_current_command(*waiters)
            driver._loop.call_soon(setattr, driver, "_config", config)  # right after the request has begun

    return PatientConnection


def _by_asyncpg(connection: Any) -> tuple[Callable[[], Coroutine[Any, Any, Any]], Callable[[int], bool]]:
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


async def _insist(
    requests: _Requests, ask: Callable[[], Coroutine[Any, Any, Any]], needed: Callable[[int], bool]
) -> None:
    """Ask until nothing is left to cancel; who could not be reached is asked again like who did not hear."""
    pause, waited, asked = FIRST, 0.0, 0
    while waited < PATIENCE:
        await asyncio.sleep(pause)
        waited += pause
        pause = min(pause * GROWTH, LONGEST)
        if not needed(asked):
            return
        asked += 1
        request = await requests.wait(ask(), 1.0)
        if not request.done():  # a server that has yet to hear of this one would not hear of the next either
            await asyncio.wait({request}, timeout=PATIENCE)
            return
