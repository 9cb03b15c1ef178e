"""The engine and its pool, by settings. Touches: SQLAlchemy, asyncpg.

Behind PgBouncer in transaction mode a server connection changes hands after each transaction, so nothing may live
longer than one: no named prepared statements, no session settings; the statement timeout is set within each
transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool

from tailrace.db.liveness import check_on_checkout
from tailrace.errors import SettingsError
from tailrace.events import (
    ConnectionCheckedIn,
    ConnectionCheckedOut,
    Observer,
    PoolMeasured,
    StatementFinished,
)
from tailrace.settings import DatabaseSettings

__all__ = ["ANSWERED", "async_url", "connect_arguments", "make_engine", "make_relay_engine"]

DRIVERS = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
POOL = "default"
ANSWERED = "tailrace_answered"
"""An attribute of the execution context of a statement that the query cache answered."""


def async_url(url: str) -> URL:
    """``url`` with an async driver: asyncpg unless it names one.

    Raises:
        SettingsError: it is no PostgreSQL address. The address is not repeated, since it holds a password.
    """
    scheme, separator, rest = url.partition("://")
    known = DRIVERS.get(scheme, scheme)
    if not separator or not known.startswith("postgresql+"):
        raise SettingsError("the database URL must look like postgresql://user:password@host:5432/name")
    try:
        return make_url(f"{known}://{rest}")
    except (ValueError, ArgumentError) as error:
        raise SettingsError(f"the database URL cannot be read: {type(error).__name__}") from None


def make_engine(url: str, settings: DatabaseSettings, observer: Observer | None = None) -> AsyncEngine:
    """An engine whose every pool figure comes from ``settings``.

    Args:
        url: ``postgresql://...``; asyncpg unless it names another driver.
        settings: pool, timeouts, PgBouncer mode.
        observer: receives pool and statement events; without one nothing is measured.
    """
    address = async_url(url)
    engine = create_async_engine(
        address,
        poolclass=_MeasuredPool if observer is not None else AsyncAdaptedQueuePool,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout,
        pool_recycle=int(settings.pool_recycle),
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args=connect_arguments(address.drivername, settings),
    )
    if settings.pre_ping:
        check_on_checkout(engine.sync_engine)
    if settings.pgbouncer:
        event.listen(engine.sync_engine, "begin", _limit_statements(settings.statement_timeout))
    if observer is not None:
        _observe_pool(engine, observer)
        _observe_statements(engine, observer)
    return engine


def connect_arguments(driver: str, settings: DatabaseSettings, **parameters: str) -> dict[str, Any]:
    """What the driver is given: timeouts, the session's ``parameters``, nothing that PgBouncer breaks."""
    parameters = {"application_name": "tailrace", **parameters}
    limit = str(int(settings.statement_timeout * 1000))
    if driver == "postgresql+psycopg":
        arguments: dict[str, Any] = {"connect_timeout": max(1, round(settings.connect_timeout))}
        if settings.pgbouncer:
            return {**arguments, "prepare_threshold": None}
        options = {"statement_timeout": limit, **parameters}
        return {**arguments, "options": " ".join(f"-c {name}={value}" for name, value in options.items())}
    arguments = {"timeout": settings.connect_timeout}
    if settings.pgbouncer:
        return {**arguments, "statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return {**arguments, "server_settings": {"statement_timeout": limit, "jit": "off", **parameters}}


def _limit_statements(seconds: float) -> Callable[[Connection], None]:
    statement = f"SET LOCAL statement_timeout = {int(seconds * 1000)}"

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return limit


class _MeasuredPool(AsyncAdaptedQueuePool):
    """A pool that knows how long each connection was waited for."""

    def _do_get(self) -> ConnectionPoolEntry:
        began = time.monotonic()
        entry = super()._do_get()
        entry.info["tailrace_wait"] = time.monotonic() - began
        return entry


def _observe_pool(engine: AsyncEngine, observer: Observer) -> None:
    pool = engine.sync_engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    limit = pool.size() + pool._max_overflow  # there is no public name

    def measure() -> None:
        observer(PoolMeasured(POOL, pool.checkedin() + pool.checkedout(), pool.checkedout(), limit))

    def checked_out(_connection: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        entry.info["tailrace_out"] = time.monotonic()
        observer(ConnectionCheckedOut(POOL, entry.info.pop("tailrace_wait", 0.0)))
        measure()

    def checked_in(_connection: Any, entry: ConnectionPoolEntry) -> None:
        out = entry.info.pop("tailrace_out", None)
        if out is not None:
            observer(ConnectionCheckedIn(POOL, time.monotonic() - out))
            measure()

    event.listen(pool, "checkout", checked_out)
    event.listen(pool, "checkin", checked_in)


def _observe_statements(engine: AsyncEngine, observer: Observer) -> None:
    def before(_c: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.tailrace_began = time.monotonic()

    def after(_c: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if not getattr(context, ANSWERED, False):
            observer(StatementFinished(POOL, _operation(statement), time.monotonic() - context.tailrace_began, False))

    def failed(context: Any) -> None:
        began = getattr(context.execution_context, "tailrace_began", None)
        if began is not None:
            observer(StatementFinished(POOL, _operation(context.statement or ""), time.monotonic() - began, True))

    event.listen(engine.sync_engine, "before_cursor_execute", before)
    event.listen(engine.sync_engine, "after_cursor_execute", after)
    event.listen(engine.sync_engine, "handle_error", failed)


OPERATIONS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "COPY", "SET", "TRUNCATE"})


def _operation(statement: str) -> str:
    """The first word of a statement if it is a known one: a label must be bounded."""
    word = statement.lstrip()[:8].split(None, 1)[0:1]
    name = word[0].upper() if word else ""
    return name if name in OPERATIONS else "OTHER"


def make_relay_engine(
    url: str, settings: DatabaseSettings, name: str = "tailrace-relay", *, keep: bool = False
) -> AsyncEngine:
    """Connections that are made when needed, for a task that could do its work again.

    Losing what it did in a crash is harmless: a row whose deletion is lost is stamped, or folded, again.

    Args:
        url: the database.
        settings: timeouts, PgBouncer mode.
        name: what the server calls them.
        keep: whether one is kept from one use to the next.
    """
    address = async_url(url)
    arguments = connect_arguments(address.drivername, settings, application_name=name, synchronous_commit="off")
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if keep else {"poolclass": NullPool}
    return create_async_engine(
        address, **pool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments
    )
