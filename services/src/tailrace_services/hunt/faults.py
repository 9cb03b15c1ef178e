"""What is broken while answers are judged. Touches: processes and the database.

Each fault mends itself: when it returns, everything runs again. ``Faults`` runs them one after another by a timetable
and knows whether it is calm.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace_services.prove.processes import ServerProcess

__all__ = ["LONG", "SHORT", "Faults", "Victims", "timetable"]

PAUSE = 2.5
"""Seconds for which something is stopped in its tracks; longer than the freshness bound."""

AFTERSHOCK = 2.0
"""Seconds after a fault in which it is not calm yet."""

GAP = 1.0
"""Least seconds between two faults."""

SHORT = ("valkey restart", "server kill", "connections dropped", "valkey pause")
LONG = (
    "valkey restart",
    "server kill",
    "valkey pause",
    "connections dropped",
    "server pause",
    "valkey kill",
    "postgres restart",
    "server kill",
    "connections dropped",
    "valkey restart",
)


@dataclass(frozen=True, slots=True)
class Victims:
    """What can be broken."""

    postgres: PostgresServer
    valkey: ValkeyServer
    servers: Sequence[ServerProcess]
    database_url: str


@dataclass(slots=True)
class Faults:
    """Breaks things by a timetable; ``log`` says what was done when."""

    victims: Victims
    clock: Callable[[], float]
    log: list[tuple[float, str]] = field(default_factory=list)
    active: bool = False
    done: bool = False
    last: float = float("-inf")
    _turn: int = 0

    def calm(self) -> bool:
        """True if nothing is broken, and nothing was a moment ago."""
        return not self.active and self.clock() - self.last > AFTERSHOCK

    async def run(self, when: Sequence[tuple[float, str]], told: Callable[[str], None] = lambda what: None) -> None:
        """Each fault of the timetable (seconds from now, name)."""
        began = self.clock()
        for moment, name in when:
            # One that took long pushes the next, but never into its own aftermath.
            await asyncio.sleep(max(0.0, began + moment - self.clock(), self.last + GAP - self.clock()))
            self.active = True
            self.log.append((self.clock() - began, name))
            told(name)
            try:
                await self._kinds()[name]()
            finally:
                self.active, self.last = False, self.clock()
        self.done = True

    def _kinds(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "valkey restart": self._restart_valkey,
            "valkey kill": self._kill_valkey,
            "valkey pause": self._pause_valkey,
            "server kill": self._kill_server,
            "server pause": self._pause_server,
            "connections dropped": self._drop_connections,
            "postgres restart": self._restart_postgres,
        }

    async def _restart_valkey(self) -> None:
        await asyncio.to_thread(self.victims.valkey.restart)

    async def _kill_valkey(self) -> None:
        await asyncio.to_thread(self.victims.valkey.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(self.victims.valkey.start)

    async def _pause_valkey(self) -> None:
        pid = self.victims.valkey.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(PAUSE)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _next_server(self) -> ServerProcess:
        self._turn += 1
        return self.victims.servers[self._turn % len(self.victims.servers)]

    async def _kill_server(self) -> None:
        """Its relay dies in the middle of whatever it does."""
        server = self._next_server()
        await server.kill()
        await asyncio.sleep(0.5)
        await server.start()

    async def _pause_server(self) -> None:
        """Its relay may hold rows of the outbox all the while."""
        server = self._next_server()
        server.pause()
        try:
            await asyncio.sleep(PAUSE)
        finally:
            server.resume()

    async def _drop_connections(self) -> None:
        connection = await asyncpg.connect(self.victims.database_url, timeout=10)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        finally:
            await connection.close()

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self.victims.postgres.restart)


def timetable(seconds: float, names: Sequence[str]) -> list[tuple[float, str]]:
    """Spread evenly, after a calm first fifth and before a calm last tenth.

    >>> timetable(100, ["a", "b"])
    [(20.0, 'a'), (55.0, 'b')]
    """
    first, last = seconds * 0.2, seconds * 0.9
    return [(first + (last - first) * number / len(names), name) for number, name in enumerate(names)]
