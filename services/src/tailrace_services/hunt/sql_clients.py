"""Two ways to write behind the services' backs: a plain connection, and the real ``psql``.

Touches: the database, processes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg

from tailrace_services.hunt.actors import Outcome

__all__ = ["DirectClient", "PsqlClient"]

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's word for a connection that ended at an awkward moment
    OSError,
)


class DirectClient:
    """A connection of its own, made again when it is lost."""

    name = "sql"

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def run(self, statements: str) -> Outcome:
        """One round trip; without BEGIN in it, all of it is one transaction."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._url, timeout=5)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            await asyncio.sleep(0.1)
            return "refused"
        try:
            await self._connection.execute(statements, timeout=30)
        except (*LOST, TimeoutError):
            # It may have been committed; only the answer is surely gone.
            self._connection.terminate()
            self._connection = None
            return "lost"
        except asyncpg.PostgresError:
            return "refused"
        return "acknowledged"

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class PsqlClient:
    """Starts ``psql`` for every transaction, as somebody at a terminal does."""

    name = "psql"

    def __init__(self, binary: Path, url: str) -> None:
        self._command = [
            str(binary),
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            url,
            "--command",
        ]

    async def run(self, statements: str) -> Outcome:
        """psql sends the whole of ``--command`` as one query: one transaction unless it says BEGIN."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            statements,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        # Whatever else it says, the statement may have taken effect before that.
        return "acknowledged" if code == 0 else "lost"
