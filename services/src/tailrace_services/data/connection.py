"""One plain asyncpg connection for bulk work, which needs COPY and one long transaction rather than a pool.

Touches: the network. Foreign errors come out as :mod:`tailrace.errors`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tailrace.errors import DatabaseError, DatabaseUnavailableError

__all__ = ["MissingDatabaseError", "driver_url", "open_connection"]

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection."""

_LOST = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.CannotConnectNowError, OSError)


class MissingDatabaseError(DatabaseUnavailableError):
    """The server answers, but has no database of that name."""

    code = "database_missing"


def driver_url(url: str, driver: str = "") -> str:
    """``url`` for asyncpg itself, or for SQLAlchemy with ``driver="+asyncpg"``.

    >>> driver_url("postgresql+psycopg://u@h/d")
    'postgresql://u@h/d'
    >>> driver_url("postgres://u@h/d", "+asyncpg")
    'postgresql+asyncpg://u@h/d'
    """
    return re.sub(r"^postgres(ql)?(\+\w+)?://", f"postgresql{driver}://", url)


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to ``url``, closed at the end.

    Raises:
        MissingDatabaseError: there is no such database.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: the database refused a statement.
    """
    try:
        connection = await asyncpg.connect(driver_url(url), timeout=CONNECT_TIMEOUT)
    except asyncpg.InvalidCatalogNameError as error:
        raise MissingDatabaseError(str(error)) from error
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise DatabaseUnavailableError(
            f"cannot connect to the database: {str(error) or type(error).__name__}"
        ) from error
    except (ValueError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailableError(f"not a usable database URL: {error}") from error
    try:
        yield connection
    except _LOST as error:
        raise DatabaseUnavailableError(f"the connection to the database was lost: {error}") from error
    except asyncpg.InterfaceError as error:
        if not connection.is_closed():
            raise
        raise DatabaseUnavailableError("the connection to the database was lost") from error
    except asyncpg.UndefinedTableError as error:
        raise DatabaseError(f"{error}; run the service's command `migrate` first") from error
    except asyncpg.PostgresError as error:
        raise DatabaseError(f"the database refused: {error}") from error
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT)
