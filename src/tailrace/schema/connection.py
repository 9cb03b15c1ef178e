"""A direct connection for schema work, lock timeouts with retries, and errors in Tailrace's terms. Touches: asyncpg.

Schema work needs session state (an advisory lock, snapshots that are exported, statements outside transactions), so it
never goes through a pool or PgBouncer in transaction mode: give it the server's own address.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from tailrace.clock import Clock, SystemClock
from tailrace.db.engine import async_url
from tailrace.errors import ConflictError, DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError, SchemaError

__all__ = ["Connection", "Database", "Patience", "connect", "exclusive", "with_patience"]

Database = str | URL | AsyncEngine
"""Where to work: ``postgresql://...``, or an engine whose address is taken (its pool is not used)."""
Connection = asyncpg.Connection
T = TypeVar("T")

ADVISORY_LOCK = 0x7461696C72616365
"""Held by whoever changes Tailrace's objects in a database ("tailrace" in ASCII)."""

ASK_AGAIN = 0.1
"""Seconds between two attempts to get it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to stand in the way of writers, and how often to try again.

    Args:
        lock_timeout: seconds to wait for a table lock; everyone who comes later waits behind us for that long.
        attempts: how often to try.
        max_delay: longest pause between two attempts, seconds (full jitter).
    """

    lock_timeout: float = 1.0
    attempts: int = 60
    max_delay: float = 2.0
    clock: Clock = field(default_factory=SystemClock)
    chance: random.Random = field(default_factory=random.Random)


def address(database: Database) -> str:
    """The address as asyncpg takes it.

    Raises:
        SettingsError: it is no PostgreSQL address.
    """
    url = database.url if isinstance(database, AsyncEngine) else database
    url = async_url(url) if isinstance(url, str) else url
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@asynccontextmanager
async def connect(database: Database, *, lock_timeout: float | None = None) -> AsyncIterator[Connection]:
    """A connection of our own, without a statement timeout.

    Raises:
        SettingsError: ``database`` is no PostgreSQL address.
        DatabaseUnavailableError: no connection, or it was lost.
        SchemaError: PostgreSQL refused a statement.
        DatabaseTimeoutError: a lock did not come free in time.
    """
    settings = {"application_name": "tailrace schema", "statement_timeout": "0", "jit": "off"}
    if lock_timeout is not None:
        settings["lock_timeout"] = str(int(lock_timeout * 1000))
    with translated():
        connection = await asyncpg.connect(address(database), server_settings=settings, statement_cache_size=0)
    try:
        with translated():
            yield connection
    finally:
        connection.terminate() if connection.is_in_transaction() else await connection.close()


class translated:  # noqa: N801 - reads as a verb where it is used
    """Turn asyncpg's errors into Tailrace's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, asyncpg.LockNotAvailableError | asyncpg.QueryCanceledError):
            raise DatabaseTimeoutError(f"a lock did not come free in time: {error}") from error
        if isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
            raise ConflictError(str(error)) from error
        if isinstance(
            error,
            asyncpg.PostgresConnectionError
            | asyncpg.OperatorInterventionError
            | asyncpg.InterfaceError
            | asyncpg.InternalClientError  # the server's farewell arrived between two statements
            | OSError,
        ):
            raise DatabaseUnavailableError(f"the connection failed: {error}") from error
        if isinstance(error, asyncpg.CannotConnectNowError | asyncpg.TooManyConnectionsError):
            raise DatabaseUnavailableError(str(error)) from error
        if isinstance(error, asyncpg.PostgresError):
            raise SchemaError(_explained(error)) from error


def _explained(error: asyncpg.PostgresError) -> str:
    detail = getattr(error, "detail", None)
    return f"{error} ({error.sqlstate})" + (f": {detail}" if detail else "")


@asynccontextmanager
async def exclusive(connection: Connection, clock: Clock | None = None) -> AsyncIterator[None]:
    """Be the only one in this database who changes Tailrace's objects; others ask again until it is their turn.

    A statement that waited for the lock would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for old snapshots:
    holder and waiter would deadlock. So nobody waits inside the server. Costs 2 round trips when it is free.
    """
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
        await (clock or SystemClock()).sleep(ASK_AGAIN)
    try:
        yield
    finally:
        if not connection.is_closed() and not connection.is_in_transaction():
            await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)


async def with_patience(patience: Patience, attempt: Callable[[], Awaitable[T]]) -> T:
    """Run ``attempt`` until it gets its locks, with growing pauses so that waiting writers pass in between.

    Raises:
        DatabaseTimeoutError: every attempt timed out.
    """
    for number in range(1, patience.attempts + 1):
        try:
            with translated():
                return await attempt()
        except (DatabaseTimeoutError, ConflictError) as error:
            if number == patience.attempts:
                raise DatabaseTimeoutError(f"gave up after {number} attempts: {error}") from error
            await patience.clock.sleep(patience.chance.uniform(0, min(patience.max_delay, 0.05 * 2**number)))
    raise DatabaseError("no attempt was allowed")
