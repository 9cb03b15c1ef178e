"""Databases of a PostgreSQL server: which there are, made, copied, dropped. Touches: the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from tailrace.errors import DatabaseError, DatabaseUnavailableError

__all__ = ["ServerDatabases", "connect_to_server", "name_in", "with_database"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OLDEST = 140000
"""The oldest server that will do, as ``server_version_num``."""
LARGE = 512 * 1024 * 1024
"""Bytes from which copying files is quicker than writing every page to the log."""
_LOCK = 0x7461696C75700001


def with_database(url: str, name: str) -> str:
    """``url`` with another database.

    >>> with_database("postgresql://u:p@h:1/a?sslmode=require", "b")
    'postgresql://u:p@h:1/b?sslmode=require'
    """
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(name, safe="")))


def name_in(url: str) -> str:
    """The database that ``url`` names; empty if none.

    >>> name_in("postgresql://u:p@h/tailrace?sslmode=require")
    'tailrace'
    """
    return unquote(urlsplit(url).path.removeprefix("/"))


class ServerDatabases:
    """What can be done with a server's databases over one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def exists(self, name: str) -> bool:
        """Whether there is a database of that name."""
        return bool(await self._connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name))

    async def create(self, name: str) -> None:
        """Create an empty one.

        Raises:
            DatabaseError: the user may not.
        """
        await self._create(name, "")

    async def copy(self, source: str, target: str) -> None:
        """Create ``target`` as a copy of ``source``; sessions in ``source`` are ended.

        Raises:
            DatabaseError: the user may not, or ``source`` is in use again at once.
        """
        size = await self._connection.fetchval("SELECT pg_database_size($1::name)", source)
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            source,
        )
        strategy = "FILE_COPY" if size > LARGE else "WAL_LOG"
        await self._create(target, f" TEMPLATE {_identifier(source)} STRATEGY {strategy}")

    async def drop(self, name: str) -> None:
        """Drop one, if there is one, and end its sessions."""
        await self._connection.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    async def _create(self, name: str, clause: str) -> None:
        try:
            await self._connection.execute(f"CREATE DATABASE {_identifier(name)}{clause}")
        except asyncpg.InsufficientPrivilegeError as error:
            user = await self._connection.fetchval("SELECT current_user")
            raise DatabaseError(
                f"user {user} may not create the database {name}: as a superuser run "
                f'ALTER ROLE "{user}" CREATEDB, or let Tailrace start its own server (unset TAILRACE_DATABASE_URL)'
            ) from error


@asynccontextmanager
async def connect_to_server(url: str) -> AsyncIterator[ServerDatabases]:
    """The server's databases; one process at a time gets them, the others wait.

    Connects to the database in ``url`` or, where there is none of that name, to ``postgres``.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseError: the server is too old, or refuses.
    """
    connection = await _connect(url)
    try:
        if (version := int(await connection.fetchval("SHOW server_version_num"))) < OLDEST:
            raise DatabaseError(f"PostgreSQL {version // 10000} is too old: 14 or later is needed")
        await connection.execute(f"SELECT pg_advisory_lock({_LOCK})")
        yield ServerDatabases(connection)
    except asyncpg.PostgresError as error:
        raise DatabaseError(f"the database refused: {error}") from error
    except OSError as error:
        raise DatabaseUnavailableError(f"the connection to the database was lost: {error}") from error
    finally:
        await connection.close(timeout=5)


async def _connect(url: str) -> Connection:
    try:
        try:
            return await asyncpg.connect(url, timeout=10)
        except asyncpg.InvalidCatalogNameError:
            return await asyncpg.connect(with_database(url, "postgres"), timeout=10)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        where = urlsplit(url)
        reason = str(error) or type(error).__name__
        raise DatabaseUnavailableError(
            f"cannot use the database server at {where.hostname}:{where.port or 5432}: {reason}"
        ) from error


def _identifier(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'
