"""A statement that is a transaction by itself, and its stamps. Touches: a connection, the store through ``Commits``.

In a session a write takes four round trips: BEGIN, the statement, the tags that its triggers left, COMMIT. Sent alone,
a statement is committed when it is answered; it says in which transaction that was, and by that the tags are read: two.
As in a session, whoever is told of the write reads it, since stamps are replaced before. If this process dies in
between, or the tags cannot be read, the relay has them, and the client that wrote is not answered from a cache until
then. That holds as well if there are none: a relay may have been quicker, stamped and removed them, and what this
process holds may not know yet. So this is for tables that are watched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Text, cast, func, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tailrace.cache.consistency import current_reads
from tailrace.db.errors import refused
from tailrace.db.session import READABLE, Commits

__all__ = ["SingleWrites", "Unfit"]

XID = cast(func.pg_current_xact_id(), Text).label("tailrace_xid")
TAGS = text("SELECT DISTINCT tag FROM tailrace.outbox WHERE xid = CAST(CAST(:xid AS text) AS xid8)")


class Unfit(Exception):
    """There is no telling yet whether this role may read the tags: a session knows what to do."""


class SingleWrites:
    """Writes by single statements.

    Args:
        engine: their connections.
        commits: what to tell of commits, asked for at each; None while there is nothing to keep fresh.
    """

    def __init__(self, engine: AsyncEngine, commits: Callable[[], Commits | None]) -> None:
        self._engine = engine
        self._commits = commits
        self._readable = False

    async def write(
        self, statement: Select[*tuple[Any, ...]], parameters: Any, sent: Callable[[], None]
    ) -> Sequence[Sequence[Any]]:
        """The rows of ``statement``; ``sent`` is called once it may have been committed.

        Raises:
            Unfit: nothing was done.
        """
        reads, commits = current_reads.get(), self._commits()
        doubtful = False
        if reads is not None:
            reads.writing += 1
        try:
            async with self._engine.connect() as connection:
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                if commits is not None and not self._readable:
                    self._readable = bool((await alone.execute(READABLE)).scalar())
                    if not self._readable:
                        raise Unfit
                sent()
                doubtful = True
                rows, tags = await alone.run_sync(_write, _telling(statement), parameters, commits is not None)
            if reads is not None:
                reads.wrote |= bool(rows)
            if rows and commits is not None:
                doubtful = not tags or not await commits.stamped(tags, frozenset({int(rows[0][-1])}))
            else:
                doubtful = False
        except Exception as error:
            doubtful = doubtful and not refused(error)
            raise
        finally:  # whatever ended it, cancellation too: this client must not be told that all is well
            if reads is not None:
                reads.writing -= 1
                if doubtful:
                    reads.wrote = reads.wrote_unstamped = reads.bypass = True
        return [row[:-1] for row in rows]


def _write(
    connection: Connection, statement: Select[*tuple[Any, ...]], parameters: Any, wanted: bool
) -> tuple[Sequence[Sequence[Any]], frozenset[str]]:
    """The rows, and the tags of what was written; none if they could not be read."""
    rows = connection.execute(statement, parameters).all()
    if not rows or not wanted:
        return rows, frozenset()
    try:
        return rows, frozenset(connection.execute(TAGS, {"xid": rows[0][-1]}).scalars())
    except Exception:  # it is committed: what follows must not make a failure of it
        return rows, frozenset()


@lru_cache(maxsize=256)
def _telling(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """``statement``, each of whose rows ends with its transaction."""
    return statement.add_columns(XID)
