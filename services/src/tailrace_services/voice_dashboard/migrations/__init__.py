"""Bring the service's own tables to a revision, from inside the program. Touches: the database.

The scripts in ``versions`` travel in the wheel. Each run holds an advisory lock, so several processes may start at
once: one migrates, the others find nothing left to do. A run is one transaction: it happens whole or not at all.
"""

from __future__ import annotations

from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tailrace.errors import DatabaseError, DatabaseUnavailableError
from tailrace_services.voice_dashboard.connection import driver_url
from tailrace_services.voice_dashboard.model import Base

__all__ = ["differences", "migrate", "revert"]

_LOCK = 0x7461696C766D6967
"""Key of the advisory lock: any number nobody else uses."""


async def migrate(url: str, revision: str = "head") -> str:
    """Upgrade the database at ``url`` to ``revision`` and return the revision it is at. Does nothing when it is there.

    Raises:
        DatabaseUnavailableError: no connection.
        DatabaseError: a migration was refused; nothing has changed.
    """
    return str(await _run(url, lambda connection: _upgrade(connection, revision)))


async def revert(url: str, revision: str = "base") -> None:
    """Downgrade to ``revision``; the tables it removes lose their rows.

    Raises: as :func:`migrate`.
    """
    await _run(url, lambda connection: _downgrade(connection, revision))


async def differences(url: str) -> list[Any]:
    """What the declared tables have that the database has not, and the other way round; empty when they agree."""
    return list(await _run(url, _compare))


async def _run(url: str, work: Any) -> Any:
    engine = create_async_engine(driver_url(url, "+asyncpg"), poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return await connection.run_sync(work)
    except OSError as error:
        raise DatabaseUnavailableError(f"cannot connect to the database: {error}") from error
    except DBAPIError as error:
        raise DatabaseError(f"the migration was refused: {error.orig}") from error
    finally:
        await engine.dispose()


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", "tailrace_services.voice_dashboard:migrations")
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection, revision: str) -> str | None:
    command.upgrade(_configuration(connection), revision)
    return MigrationContext.configure(connection).get_current_revision()


def _downgrade(connection: Connection, revision: str) -> None:
    command.downgrade(_configuration(connection), revision)


def _compare(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, Base.metadata))
