"""Whether a pooled connection still lives, asked only when there is reason to doubt. Touches: pooled connections.

SQLAlchemy's own pre-ping takes three round trips on each checkout with asyncpg (BEGIN, an empty query, ROLLBACK). Here
a connection that was used a moment ago is handed out when its socket is open, and pinged only after a rest. One that
the server closed meanwhile is replaced; one that dies under a statement is what ``Database.fetch`` and ``run`` repeat
for.

**Source:** SQLAlchemy documentation, "Disconnect Handling - Pessimistic", the custom form.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from tailrace.db.silence import abort_after

__all__ = ["check_on_checkout"]

REST = 5.0
"""Seconds without use after which a connection is pinged before it is handed out."""
USED = "tailrace_used"


def check_on_checkout(
    engine: Engine, monotonic: Callable[[], float] = time.monotonic, *, patience: float = REST
) -> None:
    """Replace dead connections of ``engine`` before anybody gets them. No round trip for those in steady use.

    Args:
        monotonic: time.
        patience: seconds for which an answer is waited for.
    """
    dialect = engine.dialect

    def check(connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        used = entry.info.get(USED)
        driver = getattr(connection, "driver_connection", None)
        closed = getattr(driver, "is_closed", None)
        if closed is not None and closed():
            raise exc.DisconnectionError("the server has closed this connection")
        if used is None or monotonic() - used < REST:
            return
        try:
            with abort_after(driver, patience):
                alive = dialect.do_ping(connection)
        except (dialect.dbapi.Error, OSError) as error:  # type: ignore[union-attr]
            raise exc.DisconnectionError("the connection did not answer") from error
        if not alive:
            raise exc.DisconnectionError("the connection did not answer")

    def note(_connection: Any, entry: ConnectionPoolEntry) -> None:
        entry.info[USED] = monotonic()

    event.listen(engine, "checkout", check)
    event.listen(engine, "checkin", note)
