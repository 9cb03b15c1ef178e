"""The statements that read and empty the outbox, and what their rows mean. Touches: one connection, handed in.

``tailrace.outbox`` is written by triggers in the writing transaction, so a row is seen exactly when its commit is.
There are two ways to read it:

``take``    rows that have been stamped are removed, each by one process, in any order. For a store that all processes
            share.
``follow``  rows stay, every process reads them all. A position cannot be the greatest id seen, since a row with a lower
            one may commit later; it is the snapshot of the last look: what was not visible then and is now, is new.

The connection commits by itself. Looks go to the driver directly: they are made a hundred times a second, and
SQLAlchemy's part would be most of their cost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.db.errors import from_sqlstate
from tailrace.errors import DatabaseUnavailableError, SchemaError, StoreUnavailableError

__all__ = [
    "BEGINNING",
    "OutboxRow",
    "Seen",
    "claim_store",
    "delete_below",
    "look",
    "look_since",
    "remove",
    "transaction",
]

BEGINNING = "1:1:"
"""The snapshot to which nothing was visible."""
CLAIMS = 7_210_426_118
"""Advisory lock: taking rows under the store that counts excludes saying that another one does."""

# The installation's row comes with every look, so that a look at an empty outbox still says whose store counts.
NEWS = "SELECT * FROM tailrace.outbox_news({}::text::pg_snapshot, {}::float8, {}::float8, {}::integer)"
SINCE = """
    SELECT i.store_epoch, pg_postmaster_start_time(), pg_current_snapshot()::text,
           o.xid::text::bigint, o.id, o.tag, false
    FROM tailrace.installation i
    LEFT JOIN tailrace.outbox o ON o.xid >= pg_snapshot_xmin({0}::text::pg_snapshot)
        AND NOT pg_visible_in_snapshot(o.xid, {0}::text::pg_snapshot)
"""
NO_SUCH_FUNCTION = "42883"
REMOVE = "SELECT * FROM tailrace.outbox_remove({}::bigint[], {}::text[]::xid8[], {}::text)"
DELETE_BELOW = text("DELETE FROM tailrace.outbox WHERE xid < CAST(CAST(:position AS text) AS xid8)")
EXCLUDE = text("SELECT pg_advisory_xact_lock(:lock)")
CLAIM = text("UPDATE tailrace.installation SET store_epoch = :epoch WHERE store_epoch IS DISTINCT FROM :epoch")


class OutboxRow(NamedTuple):
    """One tag that one transaction wrote. ``left_over``: whoever stamped it should have removed it long ago.

    A tuple: under load hundreds of them are made a hundred times a second, at half of what a frozen object costs.
    """

    xid: int
    id: int
    tag: str
    left_over: bool

    @property
    def key(self) -> tuple[int, int]:
        """What tells rows apart for good: ids begin anew where somebody resets their sequence."""
        return self.xid, self.id


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the outbox.

    Attributes:
        rows: what it held.
        store_epoch: the store that the newest process to connect uses.
        server: when the server that answered was started; another one is another server.
        snapshot: what the look saw, as PostgreSQL writes it.
    """

    rows: tuple[OutboxRow, ...]
    store_epoch: str | None
    server: object
    snapshot: str

    @property
    def xmin(self) -> int:
        """Every transaction below it had ended when the look began."""
        return int(self.snapshot.partition(":")[0])


async def look(
    connection: AsyncConnection, *, most: int, known: str = BEGINNING, patience: float = 0.0, pause: float = 0.01
) -> Seen:
    """The oldest ``most`` rows, without locking any. One round trip, about 0.1 ms when there are none.

    Args:
        connection: where to look.
        most: rows.
        known: a snapshot; a row that it did not show ends the waiting.
        patience: seconds for which the server may wait for such a row; above 0 it looks after ``pause`` first.
        pause: seconds between two looks of the server, which of all who wait with patience one makes.

    Raises:
        DatabaseUnavailableError: it failed; the connection is to be given up.
    """
    return await _look(connection, NEWS, known, patience, pause, most)


async def look_since(connection: AsyncConnection, snapshot: str) -> Seen:
    """The rows that ``snapshot`` did not show, without locking any. One round trip.

    Raises:
        DatabaseUnavailableError: it failed; the connection is to be given up.
    """
    return await _look(connection, SINCE, snapshot)


async def _look(connection: AsyncConnection, statement: str, *values: object) -> Seen:
    found = await _ask(connection, statement, *values)
    if not found:
        raise DatabaseUnavailableError("tailrace.installation is empty: run 'tailrace schema apply'")
    epoch, server, snapshot = found[0][:3]
    return Seen(tuple([OutboxRow(*row[3:]) for row in found if row[3] is not None]), epoch, server, snapshot)


async def _ask(connection: AsyncConnection, statement: str, *values: object) -> Sequence[Sequence[Any]]:
    """The rows of a statement with a pair of braces for each value."""
    assert connection.sync_connection is not None
    driver: Any = connection.sync_connection.connection.driver_connection
    found: Sequence[Sequence[Any]]
    try:
        if hasattr(driver, "fetch"):  # asyncpg
            places = [f"${number}" for number in range(1, len(values) + 1)]
            found = await driver.fetch(statement.format(*places), *values)
        else:  # psycopg
            named = {f"value_{number}": value for number, value in enumerate(values)}
            places = [f"%({name})s" for name in named]
            found = await (await driver.execute(statement.format(*places), named)).fetchall()
    except Exception as error:
        state = getattr(error, "sqlstate", None)
        if state == NO_SUCH_FUNCTION:
            raise SchemaError("the outbox's functions are missing: run 'tailrace schema apply'") from error
        known = from_sqlstate(state)
        raise known or DatabaseUnavailableError(f"asking the outbox failed: {type(error).__name__}") from error
    return found


@asynccontextmanager
async def transaction(connection: AsyncConnection) -> AsyncIterator[None]:
    """A transaction on a connection that otherwise commits by itself."""
    await connection.exec_driver_sql("BEGIN")
    try:
        yield
    except StoreUnavailableError:
        await connection.exec_driver_sql("ROLLBACK")
        raise
    except BaseException:
        await connection.invalidate()  # whatever state it is in
        raise
    await connection.exec_driver_sql("COMMIT")


async def remove(connection: AsyncConnection, rows: Iterable[OutboxRow], epoch: str) -> frozenset[int]:
    """Remove those of ``rows`` that are still there and that nobody holds; their ids. One round trip.

    None are removed unless ``epoch``, the store in which they were stamped, is the one that counts.

    Raises:
        DatabaseUnavailableError: it failed; the connection is to be given up.
    """
    rows = tuple(rows)
    ids, xids = [row.id for row in rows], sorted({str(row.xid) for row in rows})
    return frozenset(row[0] for row in await _ask(connection, REMOVE, ids, xids, epoch))


async def delete_below(connection: AsyncConnection, position: int) -> None:
    """Remove the rows of every transaction below ``position``."""
    await connection.execute(DELETE_BELOW, {"position": str(position)})


async def claim_store(connection: AsyncConnection, epoch: str) -> None:
    """Say that the store in this life is the one that counts; processes at another one stop trusting theirs.

    Inside a transaction; waits until those that take rows under another one are done.
    """
    await connection.execute(EXCLUDE, {"lock": CLAIMS})
    await connection.execute(CLAIM, {"epoch": epoch})
