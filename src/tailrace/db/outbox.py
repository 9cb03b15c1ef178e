"""The statements that read and empty the outbox, and what their rows mean. Touches: one connection, handed in.

``tailrace.outbox`` is written by triggers in the writing transaction, so a row is seen exactly when its commit is.
There are two ways to read it:

``take``    rows are locked, stamped by the caller, deleted: each is one process's to do, in any order. For a store that
            all processes share.
``follow``  rows stay, every process reads them all. A position cannot be the greatest id seen, since a row with a lower
            one may commit later; it is the horizon of the reading snapshot: whatever lies below it was visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["OutboxRow", "Seen", "claim_store", "delete", "delete_below", "look", "look_from", "take"]

# The installation's row comes with every look, so that a look at an empty outbox still says whose store counts.
LOOK = text("""
    SELECT i.store_epoch, o.xid::text::bigint AS xid, o.id, o.tag, o.due,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin
    FROM tailrace.installation i
    LEFT JOIN (
        SELECT xid, id, tag, written_at < clock_timestamp() - make_interval(secs => :grace) AS due
        FROM tailrace.outbox ORDER BY xid, id LIMIT :most
    ) o ON true
""")
LOOK_FROM = text("""
    SELECT i.store_epoch, o.xid::text::bigint AS xid, o.id, o.tag, true AS due,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin
    FROM tailrace.installation i
    LEFT JOIN tailrace.outbox o ON o.xid >= CAST(CAST(:position AS text) AS xid8)
""")
TAKE = text("""
    SELECT id FROM tailrace.outbox
    WHERE id = ANY(:ids) AND xid = ANY(CAST(CAST(:xids AS text[]) AS xid8[])) FOR UPDATE SKIP LOCKED
""")
DELETE = text("""
    DELETE FROM tailrace.outbox WHERE id = ANY(:ids) AND xid = ANY(CAST(CAST(:xids AS text[]) AS xid8[]))
""")
DELETE_BELOW = text("DELETE FROM tailrace.outbox WHERE xid < CAST(CAST(:position AS text) AS xid8)")
CLAIM = text("UPDATE tailrace.installation SET store_epoch = :epoch WHERE store_epoch IS DISTINCT FROM :epoch")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One tag that one transaction wrote. ``due``: old enough that its writer should have stamped it."""

    xid: int
    id: int
    tag: str
    due: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the outbox.

    Attributes:
        rows: what it held.
        store_epoch: the store that the newest process to connect uses.
        xmin: every transaction below it had ended when the look began.
    """

    rows: tuple[OutboxRow, ...]
    store_epoch: str | None
    xmin: int


def _seen(found: Sequence[Row[Any]]) -> Seen:
    rows = tuple(OutboxRow(row.xid, row.id, row.tag, row.due) for row in found if row.xid is not None)
    return Seen(rows, found[0].store_epoch, found[0].xmin)


async def look(connection: AsyncConnection, *, most: int, grace: float) -> Seen:
    """The oldest ``most`` rows, without locking any. One round trip, about 0.1 ms when there are none."""
    return _seen((await connection.execute(LOOK, {"most": most, "grace": grace})).all())


async def look_from(connection: AsyncConnection, position: int) -> Seen:
    """Every row of transactions from ``position`` on, without locking any. One round trip."""
    return _seen((await connection.execute(LOOK_FROM, {"position": str(position)})).all())


async def take(connection: AsyncConnection, rows: Iterable[OutboxRow]) -> frozenset[int]:
    """Lock those of ``rows`` that are still there and nobody else's; their ids. Inside a transaction."""
    return frozenset((await connection.execute(TAKE, _names(rows))).scalars())


async def delete(connection: AsyncConnection, rows: Iterable[OutboxRow]) -> None:
    """Remove rows that this transaction has locked."""
    await connection.execute(DELETE, _names(rows))


async def delete_below(connection: AsyncConnection, position: int) -> None:
    """Remove the rows of every transaction below ``position``."""
    await connection.execute(DELETE_BELOW, {"position": str(position)})


async def claim_store(connection: AsyncConnection, epoch: str) -> None:
    """Say that the store in this life is the one that counts; processes at another one stop trusting theirs."""
    await connection.execute(CLAIM, {"epoch": epoch})


def _names(rows: Iterable[OutboxRow]) -> dict[str, list[int] | list[str]]:
    rows = tuple(rows)
    return {"ids": [row.id for row in rows], "xids": sorted({str(row.xid) for row in rows})}
