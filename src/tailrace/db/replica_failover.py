"""Sessions on a replica that go on where they can be answered. Touches: SQLAlchemy's sessions.

When the replica is lost under a session's first statement, or ends it for the sake of its replay, nobody has seen
anything of it: the session begins anew on the primary, and its caller notices nothing. A later statement fails, since
what came before it is another server's.

**Source:** PostgreSQL documentation, 26.4.2 (handling query conflicts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransactionOrigin

from tailrace.db.errors import FOREIGN, translate
from tailrace.errors import ConflictError, DatabaseUnavailableError

__all__ = ["failing_over"]


def failing_over(
    replica: AsyncEngine, primary: AsyncEngine, lost: Callable[[BaseException], None]
) -> async_sessionmaker[AsyncSession]:
    """A factory of sessions on ``replica``.

    Args:
        replica: where they begin.
        primary: where they go on.
        lost: told why one did.
    """

    class ReplicaSession(Session):
        """Knows whether anything has been read by it."""

        begun = False

    def execute(state: ORMExecuteState) -> Any:
        session: Any = state.session
        if session.begun:
            return None
        session.begun = True
        try:
            return state.invoke_statement()
        except FOREIGN as error:
            transaction = session.get_transaction()
            own = transaction is None or transaction.origin is SessionTransactionOrigin.AUTOBEGIN
            found = translate(error)
            if not own or not isinstance(found, (ConflictError, DatabaseUnavailableError)):
                raise
            if isinstance(found, DatabaseUnavailableError):
                lost(error)
        session.invalidate()
        session.bind = primary.sync_engine
        return state.invoke_statement()

    event.listen(ReplicaSession, "do_orm_execute", execute)
    return async_sessionmaker(replica, expire_on_commit=False, sync_session_class=ReplicaSession)
