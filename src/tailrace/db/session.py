"""Sessions whose commits are visible at once. Touches: SQLAlchemy sessions, the store through ``Commits``.

Before a transaction that wrote commits, the tags its triggers put into the outbox are read (one round trip); after the
commit their stamps are replaced; only then does ``commit()`` return, so whoever is told of the write reads it. The rows
stay in the outbox for the relay, which is all there is if this process dies in between.

A statement counts as writing unless it is a SELECT. A SELECT that calls a function which writes is not noticed here:
its write is known to others, and to its own client, when the relay has seen it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

from tailrace.cache.consistency import current_reads

__all__ = ["Commits", "session_factory"]

OWN_TAGS = text("SELECT xid::text, array_agg(tag) FROM tailrace.outbox WHERE xid = pg_current_xact_id() GROUP BY xid")
WROTE = "tailrace_wrote"
CONNECTIONS = "tailrace_connections"
TAGS = "tailrace_tags"
READING = ("SELECT", "SHOW", "EXPLAIN", "SET", "FETCH", "DECLARE", "VALUES", "TABLE")


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
        """The synchronous half of an ``AsyncSession``; its hooks run inside the greenlet, where one may await."""

    event.listen(StampingSession, "after_begin", _note_connection)
    event.listen(StampingSession, "before_commit", lambda session: _read_tags(session, commits()))
    event.listen(StampingSession, "after_commit", lambda session: _write_stamps(session, commits()))
    event.listen(StampingSession, "after_soft_rollback", _forget)
    event.listen(engine.sync_engine, "before_cursor_execute", _note_write)
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=StampingSession)


def _note_write(
    connection: Connection, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    if connection.info.get(WROTE) is not False:
        return
    compiled = getattr(context, "compiled", None)
    reads = compiled is not None and getattr(compiled.statement, "is_select", False)
    if not reads and not statement.lstrip()[:8].upper().startswith(READING):
        connection.info[WROTE] = True
        reads_of_request = current_reads.get()
        if reads_of_request is not None:
            reads_of_request.writing = True


def _note_connection(session: Session, _transaction: SessionTransaction, connection: Connection) -> None:
    connection.info[WROTE] = False
    session.info.setdefault(CONNECTIONS, []).append(connection)


def _read_tags(session: Session, commits: Commits | None) -> None:
    if commits is None or session.in_nested_transaction():
        return
    session.flush()
    tags: set[str] = set()
    xids: set[int] = set()
    for connection in session.info.get(CONNECTIONS, ()):
        if connection.info.get(WROTE):
            for xid, names in connection.execute(OWN_TAGS):
                xids.add(int(xid))
                tags.update(names)
    session.info[TAGS] = (frozenset(tags), frozenset(xids))


def _write_stamps(session: Session, commits: Commits | None) -> None:
    found = session.info.pop(TAGS, None)
    if found is None:  # a savepoint was released
        return
    wrote = any(connection.info.get(WROTE) for connection in session.info.get(CONNECTIONS, ()))
    _forget(session, None)
    tags, xids = found
    reads = current_reads.get()
    if not wrote:
        return
    if reads is not None:
        reads.wrote = True
    if tags and commits is not None and not await_only(commits.stamped(tags, xids)) and reads is not None:
        reads.wrote_unstamped = reads.bypass = True


def _forget(session: Session, previous: SessionTransaction | None) -> None:
    """The transaction is over: this request may use the cache again."""
    if previous is not None and previous.nested:
        return
    for connection in session.info.pop(CONNECTIONS, ()):
        if not connection.closed and not connection.invalidated:
            connection.info.pop(WROTE, None)
    reads = current_reads.get()
    if reads is not None:
        reads.writing = False
