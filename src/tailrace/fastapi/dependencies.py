"""Dependencies for endpoints: ``session: SessionDependency`` and the like. Touches: the request's scope."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.cache import Cache

if TYPE_CHECKING:
    from tailrace.db import Database
else:  # resolved at run time by FastAPI, and SQLAlchemy is an optional dependency
    Database = Any

__all__ = [
    "SCOPE_KEY",
    "CacheDependency",
    "DatabaseDependency",
    "RequestDependency",
    "SessionDependency",
    "VersionDependency",
    "tailrace_of",
]

SCOPE_KEY = "tailrace"


def tailrace_of(connection: HTTPConnection) -> Any:
    """The application's Tailrace.

    Raises:
        RuntimeError: it has none.
    """
    found = connection.scope.get(SCOPE_KEY)
    if found is None:
        raise RuntimeError("this application has no Tailrace: call Tailrace(app)")
    return found


# Coroutines, though they wait for nothing: FastAPI calls what is none in a thread, which costs more than they do.


async def _cache(connection: HTTPConnection) -> Any:
    return tailrace_of(connection).cache


async def _database(connection: HTTPConnection) -> Any:
    return _database_of(connection)


def _database_of(connection: HTTPConnection) -> Any:
    database = tailrace_of(connection).database
    if database is None:
        raise RuntimeError("no database: set TAILRACE_DATABASE_URL")
    return database


async def _session(connection: HTTPConnection) -> AsyncIterator[Any]:
    async with _database_of(connection).session() as session:
        yield session


async def _request(connection: HTTPConnection) -> Any:
    return exchange_of(connection.scope)


async def _version(connection: HTTPConnection) -> Any:
    return exchange_of(connection.scope).version


CacheDependency = Annotated[Cache, Depends(_cache)]
"""The application's cache."""

DatabaseDependency = Annotated[Database, Depends(_database)]
"""The application's database."""

SessionDependency = Annotated[Any, Depends(_session, scope="function")]
"""An ``AsyncSession``, closed before the response is sent: nothing it does comes after the client has been told."""

RequestDependency = Annotated[Exchange, Depends(_request)]
"""The request as the layers see it: id, trace, identity."""

VersionDependency = Annotated[str | None, Depends(_version)]
"""Name of the version that the request means, None outside all versions."""
