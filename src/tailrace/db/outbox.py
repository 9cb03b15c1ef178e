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
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.db.errors import from_sqlstate
from tailrace.errors import DatabaseUnavailableError, StoreUnavailableError

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
LOOK = """
    SELECT i.store_epoch, pg_postmaster_start_time(), pg_current_snapshot()::text,
           o.xid::text::bigint, o.id, o.tag, o.left_over
    FROM tailrace.installation i LEFT JOIN ({rows}) o ON true
"""
OLDEST = """
    SELECT xid, id, tag, written_at < clock_timestamp() - interval '500 milliseconds' AS left_over
    FROM tailrace.outbox ORDER BY xid, id LIMIT {most:d}
"""
SINCE = """
    SELECT xid, id, tag, false AS left_over FROM tailrace.outbox
    WHERE xid >= pg_snapshot_xmin('{snapshot}') AND NOT pg_visible_in_snapshot(xid, '{snapshot}')
"""
# A process that was stopped in the middle must not keep rows locked for ever: the server ends its connection.
SHARE = text("""
    SELECT pg_advisory_xact_lock_shared(:lock), set_config('idle_in_transaction_session_timeout', '5s', true)
""")
REMOVE = text("""
    WITH taken AS (
        SELECT xid, id FROM tailrace.outbox
        WHERE id = ANY(:ids) AND xid = ANY(CAST(CAST(:xids AS text[]) AS xid8[]))
          AND EXISTS (SELECT FROM tailrace.installation WHERE store_epoch = :epoch)
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM tailrace.outbox o USING taken WHERE o.xid = taken.xid AND o.id = taken.id RETURNING o.id
""")
DELETE_BELOW = text("DELETE FROM tailrace.outbox WHERE xid < CAST(CAST(:position AS text) AS xid8)")
EXCLUDE = text("SELECT pg_advisory_xact_lock(:lock)")
CLAIM = text("UPDATE tailrace.installation SET store_epoch = :epoch WHERE store_epoch IS DISTINCT FROM :epoch")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One tag that one transaction wrote. ``left_over``: whoever stamped it should have removed it long ago."""

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


async def look(connection: AsyncConnection, *, most: int) -> Seen:
    """The oldest ``most`` rows, without locking any. One round trip, about 0.1 ms when there are none.

    Raises:
        DatabaseUnavailableError: it failed; the connection is to be given up.
    """
    return await _look(connection, OLDEST.format(most=most))


async def look_since(connection: AsyncConnection, snapshot: str) -> Seen:
    """The rows that ``snapshot`` did not show, without locking any. One round trip.

    Raises:
        DatabaseUnavailableError: it failed; the connection is to be given up.
    """
    return await _look(connection, SINCE.format(snapshot=snapshot))


async def _look(connection: AsyncConnection, rows: str) -> Seen:
    assert connection.sync_connection is not None
    driver: Any = connection.sync_connection.connection.driver_connection
    statement = LOOK.format(rows=rows)
    found: Sequence[Sequence[Any]]
    try:
        if hasattr(driver, "fetch"):  # asyncpg
            found = await driver.fetch(statement)
        else:  # psycopg
            found = await (await driver.execute(statement)).fetchall()
    except Exception as error:
        known = from_sqlstate(getattr(error, "sqlstate", None))
        raise known or DatabaseUnavailableError(f"looking at the outbox failed: {type(error).__name__}") from error
    if not found:
        raise DatabaseUnavailableError("tailrace.installation is empty: run 'tailrace schema apply'")
    epoch, server, snapshot = found[0][:3]
    return Seen(tuple(OutboxRow(*row[3:]) for row in found if row[3] is not None), epoch, server, snapshot)


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
    """Remove those of ``rows`` that are still there and that nobody holds; their ids. Inside a transaction.

    None are removed unless ``epoch``, the store in which they were stamped, is the one that counts, and it stays that
    until the transaction ends.
    """
    await connection.execute(SHARE, {"lock": CLAIMS})
    return frozenset((await connection.execute(REMOVE, {**_names(rows), "epoch": epoch})).scalars())


async def delete_below(connection: AsyncConnection, position: int) -> None:
    """Remove the rows of every transaction below ``position``."""
    await connection.execute(DELETE_BELOW, {"position": str(position)})


async def claim_store(connection: AsyncConnection, epoch: str) -> None:
    """Say that the store in this life is the one that counts; processes at another one stop trusting theirs.

    Inside a transaction; waits until those that take rows under another one are done.
    """
    await connection.execute(EXCLUDE, {"lock": CLAIMS})
    await connection.execute(CLAIM, {"epoch": epoch})


def _names(rows: Iterable[OutboxRow]) -> dict[str, Any]:
    rows = tuple(rows)
    return {"ids": [row.id for row in rows], "xids": sorted({str(row.xid) for row in rows})}
