"""Bring a service's own tables to a revision, from inside the program. Touches: the database.

The scripts travel in the wheel, in ``migrations/versions`` of the service; Alembic's entry point is the same for all.
Each run holds an advisory lock, so several processes may start at once: one migrates, the others find nothing left to
do. A run is one transaction: it happens whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from tailrace.errors import DatabaseError, DatabaseUnavailableError
from tailrace_services.data.connection import driver_url

__all__ = ["Migrations"]


@dataclass(frozen=True, slots=True)
class Migrations:
    """A service's migrations.

    Args:
        service: its name, which is its package's.
        metadata: the tables as they are declared.
    """

    service: str
    metadata: MetaData

    async def migrate(self, url: str, revision: str = "head") -> str:
        """Upgrade the database at ``url`` to ``revision`` and return the revision it is at; nothing when it is there.

        Raises:
            DatabaseUnavailableError: no connection.
            DatabaseError: a migration was refused; nothing has changed.
        """
        return str(await self._run(url, lambda connection: self._upgrade(connection, revision)))

    async def revert(self, url: str, revision: str = "base") -> None:
        """Downgrade to ``revision``; the tables it removes lose their rows.

        Raises: as :meth:`migrate`.
        """
        await self._run(url, lambda connection: command.downgrade(self._configuration(connection), revision))

    async def differences(self, url: str) -> list[Any]:
        """What the declared tables have that the database has not, and the other way round; empty when they agree.

        Raises: as :meth:`migrate`.
        """
        return list(await self._run(url, self._compare))

    async def _run(self, url: str, work: Any) -> Any:
        engine = create_async_engine(driver_url(url, "+asyncpg"), poolclass=pool.NullPool)
        try:
            async with engine.begin() as connection:
                lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")
                await connection.execute(lock, {"what": f"migrate {self.service}"})
                return await connection.run_sync(work)
        except OSError as error:
            raise DatabaseUnavailableError(f"cannot connect to the database: {error}") from error
        except DBAPIError as error:
            raise DatabaseError(f"the migration was refused: {error.orig}") from error
        finally:
            await engine.dispose()

    def _configuration(self, connection: Connection) -> Config:
        configuration = Config()
        configuration.set_main_option("script_location", "tailrace_services.data:alembic")
        configuration.set_main_option("path_separator", "newline")  # a path may have blanks
        configuration.set_main_option("version_locations", f"tailrace_services.{self.service}:migrations/versions")
        configuration.attributes["connection"] = connection
        return configuration

    def _upgrade(self, connection: Connection, revision: str) -> str | None:
        command.upgrade(self._configuration(connection), revision)
        return MigrationContext.configure(connection).get_current_revision()

    def _compare(self, connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, self.metadata))
