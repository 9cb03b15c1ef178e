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
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, Text, cast, func, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from tailrace.cache.consistency import current_reads
from tailrace.db.compiled_statements import CompiledStatement, CompiledStatements
from tailrace.db.errors import refused
from tailrace.db.session import READABLE, Commits

__all__ = ["SingleWrites", "Unfit"]

XID = cast(func.pg_current_xact_id(), Text).label("tailrace_xid")
TAGS = text("SELECT DISTINCT tag FROM tailrace.outbox WHERE xid = CAST(CAST(:xid AS text) AS xid8)")

_Written: TypeAlias = tuple[Sequence[Sequence[Any]], frozenset[str]]
"""The rows, and the tags of what was written; none if they could not be read."""


class Unfit(Exception):
    """There is no telling yet whether this role may read the tags: a session knows what to do."""


class SingleWrites:
    """Writes by single statements.

    Args:
        engine: their connections.
        compiled: those among them that are written again and again, and the look at their tags, go straight to the
            driver.
        commits: what to tell of commits, asked for at each; None while there is nothing to keep fresh.
    """

    def __init__(
        self, engine: AsyncEngine, compiled: CompiledStatements, commits: Callable[[], Commits | None]
    ) -> None:
        self._engine = engine
        self._compiled = compiled
        self._commits = commits
        self._readable = False

    async def write(
        self,
        statement: Select[*tuple[Any, ...]],
        parameters: Any,
        sent: Callable[[], None],
        committed: Callable[[], None] | None = None,
    ) -> Sequence[Sequence[Any]]:
        """The rows of ``statement``; ``sent`` is called once it may be committed, ``committed`` once it is.

        Raises:
            Unfit: nothing was done.
        """
        reads, commits = current_reads.get(), self._commits()
        doubtful = False

        def begin() -> None:
            nonlocal doubtful
            sent()
            doubtful = True

        if reads is not None:
            reads.writing += 1
        try:
            wanted = commits is not None
            rows, tags = await self._send(_telling(statement), parameters, begin, committed or _nobody, wanted=wanted)
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

    async def _send(
        self,
        statement: Select[*tuple[Any, ...]],
        parameters: Any,
        begin: Callable[[], None],
        committed: Callable[[], None],
        *,
        wanted: bool,
    ) -> _Written:
        """``begin`` is called when there is a connection, ``committed`` before the tags are looked at.

        Raises:
            Unfit: nothing was done.
        """
        if self._readable or not wanted:
            kept, tags = self._compiled.find(statement, parameters), self._compiled.find(TAGS, {})
            if kept is not None and tags is not None:
                look = tags if wanted else None
                return await greenlet_spawn(self._write_kept, kept, parameters, begin, committed, look)
        async with self._engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            if wanted and not self._readable:
                self._readable = bool((await alone.execute(READABLE)).scalar())
                if not self._readable:
                    raise Unfit
            begin()
            return await alone.run_sync(_write, statement, parameters, committed, wanted)

    def _write_kept(
        self,
        kept: CompiledStatement,
        parameters: Any,
        begin: Callable[[], None],
        committed: Callable[[], None],
        tags: CompiledStatement | None,
    ) -> _Written:
        with self._compiled.connection() as connection:
            begin()
            rows = self._compiled.rows(connection, kept, parameters)
            committed()
            if not rows or tags is None:
                return rows, frozenset()
            try:
                found = self._compiled.rows(connection, tags, {"xid": rows[0][-1]})
            except Exception:  # it is committed: what follows must not make a failure of it
                return rows, frozenset()
            return rows, frozenset(tag for (tag,) in found)


def _write(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    parameters: Any,
    committed: Callable[[], None],
    wanted: bool,
) -> _Written:
    """What there is to say of it."""
    rows = connection.execute(statement, parameters).all()
    committed()
    if not rows or not wanted:
        return rows, frozenset()
    try:
        return rows, frozenset(connection.execute(TAGS, {"xid": rows[0][-1]}).scalars())
    except Exception:  # it is committed: what follows must not make a failure of it
        return rows, frozenset()


def _nobody() -> None:
    """Is told that it is committed."""


@lru_cache(maxsize=256)
def _telling(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """``statement``, each of whose rows ends with its transaction."""
    return statement.add_columns(XID)
