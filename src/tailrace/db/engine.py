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
from sqlalchemy.pool import NullPool

from tailrace.db.cancelling import insist_on_cancelling, insisting_psycopg, patient_asyncpg
from tailrace.db.comments import comment_on_request
from tailrace.db.holding import Holdings
from tailrace.db.liveness import check_on_checkout
from tailrace.db.pool import POOL, DeadlinePool, measured_pool, observe_pool
from tailrace.db.silence import answer_limit, give_up_silent
from tailrace.errors import SettingsError
from tailrace.events import Observer, StatementFinished
from tailrace.settings import DatabaseSettings

__all__ = ["ANSWERED", "async_url", "connect_arguments", "make_engine", "make_relay_engine", "statement_observer"]

DRIVERS = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
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


def make_engine(
    url: str,
    settings: DatabaseSettings,
    observer: Observer | None = None,
    holdings: Holdings | None = None,
    *,
    pool: str = POOL,
) -> AsyncEngine:
    """An engine whose every pool figure comes from ``settings``.

    Args:
        url: ``postgresql://...``; asyncpg unless it names another driver.
        settings: pool, timeouts, PgBouncer mode.
        observer: receives pool and statement events; without one nothing is measured.
        holdings: told who takes connections.
        pool: the pool's name in events.
    """
    address = async_url(url)
    engine = create_async_engine(
        address,
        poolclass=measured_pool(observer, pool) if observer is not None else DeadlinePool,
        pool_size=settings.pool_size,
        max_overflow=settings.max_overflow,
        pool_timeout=settings.pool_timeout,
        pool_recycle=int(settings.pool_recycle),
        pool_use_lifo=True,
        hide_parameters=True,
        connect_args=connect_arguments(address.drivername, settings),
    )
    insist_on_cancelling(engine.sync_engine)
    give_up_silent(engine.sync_engine)
    if settings.pre_ping:
        check_on_checkout(engine.sync_engine, patience=settings.connect_timeout)
    if settings.comments:
        event.listen(engine.sync_engine, "before_cursor_execute", comment_on_request, retval=True)
    if settings.pgbouncer:
        event.listen(engine.sync_engine, "begin", _limit_statements(settings.statement_timeout))
    if observer is not None:
        observe_pool(engine, observer, pool, holdings)
        _observe_statements(engine, observer, pool)
    return engine


def connect_arguments(driver: str, settings: DatabaseSettings, **parameters: str) -> dict[str, Any]:
    """What the driver is given: timeouts, the session's ``parameters``, nothing that PgBouncer breaks."""
    parameters = {"application_name": "tailrace", **parameters}
    limit = str(int(settings.statement_timeout * 1000))
    arguments: dict[str, Any]
    if driver == "postgresql+psycopg":
        arguments = {"connect_timeout": max(1, round(settings.connect_timeout))}
        arguments["async_creator_fn"] = insisting_psycopg(answer_limit(settings))
        if settings.pgbouncer:
            return {**arguments, "prepare_threshold": None}
        options = {"statement_timeout": limit, **parameters}
        return {**arguments, "options": " ".join(f"-c {name}={value}" for name, value in options.items())}
    arguments = {"timeout": settings.connect_timeout, "command_timeout": answer_limit(settings)}
    if settings.pgbouncer:
        arguments["connection_class"] = patient_asyncpg()
        return {**arguments, "statement_cache_size": 0, "prepared_statement_cache_size": 0}
    return {**arguments, "server_settings": {"statement_timeout": limit, "jit": "off", **parameters}}


def _limit_statements(seconds: float) -> Callable[[Connection], None]:
    statement = f"SET LOCAL statement_timeout = {int(seconds * 1000)}"

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(statement)

    return limit


def statement_observer(observer: Observer, pool: str) -> Callable[[str, float, bool], None]:
    """What tells ``observer`` of a statement, its seconds, and whether it failed."""

    def executed(statement: str, seconds: float, failed: bool) -> None:
        observer(StatementFinished(pool, _operation(statement), seconds, failed))

    return executed


def _observe_statements(engine: AsyncEngine, observer: Observer, pool: str) -> None:
    executed = statement_observer(observer, pool)

    def before(_c: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        context.tailrace_began = time.monotonic()

    def after(_c: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if not getattr(context, ANSWERED, False):
            executed(statement, time.monotonic() - context.tailrace_began, False)

    def failed(context: Any) -> None:
        began = getattr(context.execution_context, "tailrace_began", None)
        if began is not None:
            executed(context.statement or "", time.monotonic() - began, True)

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
        url: the database; ``settings.direct_url`` in its place, where there is one.
        settings: timeouts, PgBouncer mode.
        name: what the server calls them.
        keep: whether one is kept from one use to the next.
    """
    if settings.direct_url is not None:
        url, settings = settings.direct_url.get_secret_value(), settings.model_copy(update={"pgbouncer": False})
    address = async_url(url)
    arguments = connect_arguments(address.drivername, settings, application_name=name, synchronous_commit="off")
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if keep else {"poolclass": NullPool}
    engine = create_async_engine(
        address, **pool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=arguments
    )
    give_up_silent(engine.sync_engine)
    return engine
