"""The originals' sessions: SQLAlchemy with its defaults. Touches: the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from tailrace.errors import DatabaseError, DatabaseTimeoutError, DatabaseUnavailableError, PoolTimeoutError
from tailrace_services.data.connection import driver_url

__all__ = ["Sessions"]

CANCELLED = "57014"
"""SQLSTATE query_canceled: the statement timeout."""


class Sessions:
    """Sessions on one engine.

    Args:
        url: of the database, any driver.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(driver_url(url, "+asyncpg"))
        self._make = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """One transaction.

        Raises:
            PoolTimeoutError: no connection became free within SQLAlchemy's 30 seconds.
            DatabaseTimeoutError: the statement timeout.
            DatabaseUnavailableError: no connection.
            DatabaseError: anything else the database refuses.
        """
        try:
            async with self._make.begin() as session:
                yield session
        except PoolExhausted as error:
            raise PoolTimeoutError("no database connection became free") from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == CANCELLED:
                raise DatabaseTimeoutError("the statement took too long") from error
            if error.connection_invalidated:
                raise DatabaseUnavailableError("the connection to the database was lost") from error
            raise DatabaseError("the database refused a statement") from error
        except OSError as error:
            raise DatabaseUnavailableError("cannot connect to the database") from error

    @property
    def engine(self) -> AsyncEngine:
        """Whose connections they use."""
        return self._engine

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
