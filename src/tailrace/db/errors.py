"""Foreign errors into Tailrace's. Pure but for the context manager that raises them.

**Source:** PostgreSQL's Appendix A, error codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from tailrace.errors import (
    ConflictError,
    ConstraintError,
    DatabaseError,
    DatabaseTimeoutError,
    DatabaseUnavailableError,
    OutcomeUnknownError,
    PoolTimeoutError,
)

__all__ = [
    "FAILURES",
    "FOREIGN",
    "from_sqlstate",
    "in_doubt",
    "refused",
    "said_by_server",
    "translate",
    "translated",
]

CONSTRAINTS = {"23502": "not_null", "23503": "foreign_key", "23505": "unique", "23514": "check", "23P01": "exclusion"}
REFUSALS = frozenset({"0A", "22", "23", "42", "44", "P0"})
"""Classes of what is wrong with a statement or its values: unsupported, data, constraints, access, checks, triggers."""
CONFLICTS = {"40001": "serialization failure", "40P01": "deadlock"}
TIMEOUTS = {"57014": "statement timeout", "55P03": "lock not available", "25P03": "transaction idle for too long"}
UNAVAILABLE = {
    "57P01": "the server is shutting down",
    "57P02": "the server crashed",
    "57P03": "the server cannot accept connections yet",
    "53300": "the server has too many connections",
    "25006": "the server is read-only",
}


def _driver_errors() -> tuple[type[Exception], ...]:
    """What asyncpg raises past SQLAlchemy when a connection breaks in the middle of its protocol, or while SQLAlchemy
    prepares a new one."""
    try:
        from asyncpg import exceptions as known
    except ImportError:
        return ()
    return (
        known.InternalClientError,
        known.InterfaceError,
        known.PostgresConnectionError,
        known.AdminShutdownError,
        known.CrashShutdownError,
    )


DRIVER_ERRORS = _driver_errors()
FOREIGN: tuple[type[Exception], ...] = (exc.SQLAlchemyError, OSError, *DRIVER_ERRORS)
FAILURES: tuple[type[Exception], ...] = (DatabaseError, *FOREIGN)
"""Everything that work on a connection of one's own may end with; a task that is to live on catches all of it."""


def from_sqlstate(state: str | None, constraint: str | None = None) -> DatabaseError | None:
    """The error for a state the server gave, or None for one that has no special meaning here."""
    if not state:
        return None
    if state in CONFLICTS:
        return ConflictError(f"the transaction met a {CONFLICTS[state]}", retry_after=1)
    if state in TIMEOUTS:
        return DatabaseTimeoutError(f"the database gave up: {TIMEOUTS[state]}", retry_after=1)
    if state in UNAVAILABLE or state.startswith("08"):
        return DatabaseUnavailableError(f"the database is not available: {UNAVAILABLE.get(state, 'connection lost')}")
    if state in CONSTRAINTS:
        kind = CONSTRAINTS[state]
        return ConstraintError(f"{kind} constraint {constraint or ''} violated", kind=kind, constraint=constraint)
    return None


def translate(error: BaseException) -> DatabaseError | None:
    """The Tailrace error that ``error`` amounts to; None for what is a mistake in the program."""
    if isinstance(error, exc.TimeoutError):
        return PoolTimeoutError("no database connection became free in time", retry_after=1)
    if isinstance(error, exc.DBAPIError):
        state, driver = _state(error)
        found = from_sqlstate(state, getattr(driver, "constraint_name", None))
        if found is not None:
            return found
        if error.connection_invalidated or isinstance(error, exc.InterfaceError) or _broken(driver):
            return DatabaseUnavailableError("the connection to the database was lost")
        if state is None and isinstance(error, exc.OperationalError):  # as psycopg says that it cannot connect
            return DatabaseUnavailableError("cannot reach the database")
        return None
    if _broken(error):
        return DatabaseUnavailableError("the connection to the database was lost")
    if isinstance(error, TimeoutError):
        return DatabaseUnavailableError("the database did not answer in time")
    if isinstance(error, OSError):
        return DatabaseUnavailableError(f"cannot reach the database: {error.strerror or type(error).__name__}")
    return None


def _broken(error: BaseException | None) -> bool:
    """Whether asyncpg means a connection, and not a value that it cannot send."""
    return isinstance(error, DRIVER_ERRORS) and not isinstance(error, ValueError)


def in_doubt(error: DatabaseUnavailableError) -> OutcomeUnknownError:
    """What ``error`` is to who was committing."""
    if isinstance(error, OutcomeUnknownError):
        return error
    return OutcomeUnknownError(f"nobody knows whether the transaction was committed: {error}")


def refused(error: BaseException) -> bool:
    """Whether a statement that is its own transaction has certainly done nothing, and would be refused again."""
    if isinstance(error, exc.DBAPIError):
        state, _ = _state(error)
        return state is not None and state[:2] in REFUSALS
    return isinstance(error, (ConstraintError, exc.StatementError))  # the latter: it could not even be sent


def said_by_server(error: BaseException) -> bool:
    """Whether the server itself has said what is wrong, so that it can be reached."""
    if not isinstance(error, exc.DBAPIError):
        return False
    state, _ = _state(error)
    return bool(state) and not str(state).startswith("08")  # drivers give those to what they find themselves


def _state(error: exc.DBAPIError) -> tuple[str | None, BaseException | None]:
    """SQLSTATE, and the driver's own error."""
    driver = error.orig.__cause__ or error.orig if error.orig is not None else None
    return getattr(error.orig, "sqlstate", None) or getattr(driver, "sqlstate", None), driver


@contextmanager
def translated() -> Iterator[None]:
    """Raise Tailrace's error in place of a foreign one; what has no counterpart goes through unchanged."""
    try:
        yield
    except FOREIGN as error:
        found = translate(error)
        if found is None:
            raise
        raise found from error
