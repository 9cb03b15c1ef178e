"""Sessions whose commits are visible at once. Touches: SQLAlchemy sessions, the store through ``Commits``.

Right before a transaction that wrote commits, behind everything that flushes and listeners have added, the tags that
its triggers put into the outbox are read (one round trip); after the commit their stamps are replaced; only then does
``commit()`` return, so whoever is told of the write reads it. The rows stay in the outbox for the relay, which is all
there is if this process dies in between.

A statement counts as writing unless it plainly reads. What is not noticed here: a SELECT that calls a function which
writes, and what goes to the driver's own connection, past SQLAlchemy (COPY). Such a write is known to others, and to
its own client, when the relay has seen it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db.errors import FOREIGN, in_doubt, translate
from tailrace.errors import DatabaseUnavailableError

__all__ = ["QUERIES", "Commits", "OpenTransaction", "doubted", "session_factory", "transaction_of"]

# A statement that fails would fail the user's transaction: ask first, in a way that needs no rights.
READABLE = text("""
    SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'tailrace' AND c.relname = 'outbox'
""")
OWN_TAGS = text("""
    SELECT xid::text, array_agg(DISTINCT tag) FROM tailrace.outbox
    WHERE xid = pg_current_xact_id_if_assigned() GROUP BY xid
""")
TRANSACTION = "tailrace_transaction"
QUERIES = "tailrace_queries"
"""Where a session's ``info`` says how it caches what it reads."""
IN_DOUBT = "tailrace_in_doubt"
"""Where it says that a transaction that wrote ended without an answer to its COMMIT."""
READING = (
    *("SELECT", "WITH", "VALUES", "TABLE", "(", "SHOW", "SET", "EXPLAIN", "FETCH", "DECLARE"),
    *("SAVEPOINT", "RELEASE", "ROLLBACK"),
)
HIDDEN_WRITE = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|CALL|DO|EXECUTE)\b", re.IGNORECASE)


class Commits(Protocol):
    """Told of each commit; ``tailrace.db.freshness`` has the real one."""

    def stamped(self, tags: frozenset[str], xids: frozenset[int]) -> Awaitable[bool]:
        """Replace the tags' stamps; False if the store could not be reached."""
        ...


def session_factory(engine: AsyncEngine, commits: Callable[[], Commits | None]) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions on ``engine``.

    Args:
        commits: what to tell of commits, asked for at each; None while there is nothing to keep fresh.
    """

    class StampingSession(Session):
        """The session below each ``AsyncSession``: its hooks run inside the greenlet, where one may await."""

    hooks = _Hooks(commits)
    event.listen(StampingSession, "after_begin", hooks.begun)
    event.listen(StampingSession, "after_commit", hooks.committed)
    event.listen(StampingSession, "after_transaction_end", hooks.ended)
    event.listen(engine.sync_engine, "before_cursor_execute", hooks.executing)
    event.listen(engine.sync_engine, "commit", hooks.committing)
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=StampingSession)


@contextmanager
def doubted(session: AsyncSession) -> Iterator[None]:
    """Say of a connection that is lost under the COMMIT of what ``session`` wrote that nobody knows what came of it."""
    try:
        yield
    except FOREIGN as error:
        found = translate(error)
        if session.info.get(IN_DOUBT) and isinstance(found, DatabaseUnavailableError):
            raise in_doubt(found) from error
        raise


def _plainly_reads(statement: str) -> bool:
    """True if ``statement`` certainly writes nothing, functions that it calls left aside."""
    start = statement.lstrip()[:9].upper()
    if not start.startswith(READING):
        return False
    # A WITH, EXPLAIN ANALYZE or a second statement may write.
    hides = not start.startswith("SELECT") or ";" in statement
    return not hides or HIDDEN_WRITE.search(statement) is None


@dataclass(slots=True, eq=False)
class OpenTransaction:
    """What one transaction of a session has done so far. ``reads`` is of the request that wrote, where it is one."""

    wrote: bool = False
    reads: ReadContext | None = None
    hidden: bool = False
    """There are tags, and this role may not read them."""
    tags: set[str] = field(default_factory=set)
    xids: set[int] = field(default_factory=set)
    queries: object = None
    """How this session caches what it reads, where it does."""
    settings: list[str] = field(default_factory=list)
    """What has been set for this transaction alone."""
    earlier: dict[str, object] = field(default_factory=dict)
    """What else was sent, with its parameters: it may have set something, too."""
    undone: bool = False
    """It went back to a savepoint."""
    unsettled: bool = False
    """Settings may be other than these say."""
    committing: bool = False
    """COMMIT may have been sent, and was not answered."""


class _Hooks:
    """What happens at each moment of a transaction."""

    def __init__(self, commits: Callable[[], Commits | None]) -> None:
        self._commits = commits
        self._readable = False

    def begun(self, session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
        """A connection joins; a savepoint begins on one that already has, which changes nothing."""
        own = session.info.setdefault(TRANSACTION, OpenTransaction(queries=session.info.get(QUERIES)))
        if transaction_of(connection) is not own:
            connection.execution_options(**{TRANSACTION: own})

    def executing(
        self, connection: Connection, _cursor: Any, statement: str, _parameters: Any, _context: Any, _many: bool
    ) -> None:
        own = transaction_of(connection)
        if own is None or own.wrote or _plainly_reads(statement):
            return
        own.wrote = True
        own.reads = current_reads.get()
        if own.reads is not None:
            own.reads.writing += 1

    def committing(self, connection: Connection) -> None:
        own = transaction_of(connection)
        if own is None or not own.wrote:
            return
        self._note_tags(connection, own)
        own.committing = True

    def _note_tags(self, connection: Connection, own: OpenTransaction) -> None:
        """Read what the transaction's triggers have put into the outbox."""
        if self._commits() is None:
            return
        if not self._readable:
            readable = connection.execute(READABLE).scalar()
            if not readable:  # None: Tailrace's objects are not in this database, and nothing is cached from it
                own.hidden = readable is False
                return
            self._readable = True
        try:
            found = connection.execute(OWN_TAGS).all()
        except Exception:
            self._readable = False  # perhaps the objects were dropped: the next transaction asks again
            raise
        for xid, tags in found:
            own.xids.add(int(xid))
            own.tags.update(tags)

    def committed(self, session: Session) -> None:
        own: OpenTransaction | None = session.info.get(TRANSACTION)
        if session.in_nested_transaction() or own is None or not own.wrote:
            return
        own.committing = False
        commits, reads = self._commits(), own.reads
        if reads is not None:
            reads.wrote = True
            reads.wrote_unstamped |= own.hidden
            reads.bypass |= own.hidden
        stamped = not own.tags or commits is None
        try:
            if not stamped and commits is not None:
                stamped = await_only(commits.stamped(frozenset(own.tags), frozenset(own.xids)))
        finally:  # whatever ended the attempt, cancellation too: this client must not be told that all is well
            if reads is not None and not stamped:
                reads.wrote_unstamped = reads.bypass = True

    def ended(self, session: Session, transaction: SessionTransaction) -> None:
        """Committed, rolled back or closed: the request may use the cache again, as far as this one goes."""
        if transaction.parent is not None:
            return
        own: OpenTransaction | None = session.info.pop(TRANSACTION, None)
        session.info[IN_DOUBT] = own is not None and own.committing
        if own is not None and own.reads is not None:
            own.reads.writing -= 1


def transaction_of(connection: Connection) -> OpenTransaction | None:
    """What the session that uses ``connection`` has done in its transaction; None outside a session."""
    return connection.get_execution_options().get(TRANSACTION)
