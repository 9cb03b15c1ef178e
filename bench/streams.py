"""Event streams: what a thousand cost that are open, how soon all of them say something, how soon one is over.

Each contender is served by uvicorn in a process of its own, to clients in this one. What is told to all streams at
once bears the moment at which it was told, and what clients took it at is compared with that; machine and clock are
the same. A stream is over when the generator behind it has ended, and counts from the moment at which its client hung
up, while the thousand others stay; where it waits for the database, when the database does nothing more for it.

Turns are interleaved, in an order drawn anew each round.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import asyncpg
import uvloop

from bench import Measurement
from bench.asking import HOST
from bench.audience import PATIENCE, Audience
from bench.contender import NotWorkingError
from bench.fronts import PASSING, standing
from bench.processes import clocks, spent
from bench.session import Session
from tailrace.verify.client import Connections, Request
from tailrace.verify.statistics import summarise
from tailrace_services.prove.processes import ServerProcess, resident_bytes

__all__ = ["CONTENDERS", "measure"]

GROUP = "streams"
OVER = "streams whose client left"
OPEN, QUICK_OPEN = 1_000, 50
TELLINGS, QUICK_TELLINGS = 20, 2
LEAVERS, QUICK_LEAVERS = 100, 5
BETWEEN = 0.005
"""Seconds between two that leave."""
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
"""Statements that are being executed: what is cancelled before its execution has begun, PostgreSQL may execute yet."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who streams.

    Attributes:
        factory: of ``_streams_server``.
        peers: packages that it needs.
    """

    name: str
    factory: str
    peers: Sequence[str] = ()


BARE = Contender("bare ASGI", "bare")
CONTENDERS = (
    BARE,
    Contender("FastAPI", "by_fastapi"),
    Contender("sse-starlette", "by_sse_starlette", ("sse-starlette",)),
    Contender("Tailrace, response", "by_tailraces_response"),
    Contender("Tailrace, all layers", "by_tailrace"),
)
SEARCHING = Contender("Tailrace, in a query", "searching")


@dataclass(slots=True)
class House:
    """A contender's server, its audience, and what was measured. Seconds, bytes."""

    contender: Contender
    process: ServerProcess
    control: Connections
    audience: Audience
    empty: int = 0
    full: int = 0
    delays: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    over: dict[str, list[float]] = field(default_factory=dict)

    async def fill(self, count: int) -> None:
        """Have so many streams open."""
        warm = Audience(self.process.port, "warm")
        await warm.join(10)
        warm.leave()
        await self._ended(client.name for client in warm.clients)
        self.empty = resident_bytes(self.process.pid)
        await self.audience.join(count)
        await self.audience.told(self.control)
        self.full = resident_bytes(self.process.pid)

    async def tell(self) -> None:
        """Once to all."""
        before = clocks(self.process.pid)
        delays = await self.audience.told(self.control)
        self.cpu.append(spent(before, clocks(self.process.pid)) / len(delays))
        self.delays += delays

    async def lose(self, count: int, way: str, port: int) -> None:
        """More come, and leave one after the other."""
        leavers = Audience(port, way)
        await leavers.join(count)
        left: dict[str, float] = {}
        for client in leavers.clients:
            left[client.name] = time.monotonic()
            client.transport.close()
            await asyncio.sleep(BETWEEN)
        ended = await self._ended(left)
        self.over[way] = [ended[name] - moment for name, moment in left.items()]

    async def _ended(self, names: Iterable[str]) -> dict[str, float]:
        wanted = set(names)
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    ended: dict[str, float] = (await self.control.send(Request("ended", "/ended"))).json()
                    if wanted <= ended.keys():
                        return ended
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise NotWorkingError(f"{self.contender.name}: work went on for clients that had left") from None

    def rows(self, bare: House | None) -> list[Measurement]:
        """What was measured, beside the bare application where that was measured too."""
        name, count = self.contender.name, len(self.audience.clients)
        each, spent_each = (self.full - self.empty) / count, median(self.cpu)
        told = summarise(self.delays)
        found = [
            Measurement(GROUP, name, f"{count:,} open", self.full / 2**20, "MB"),
            Measurement(GROUP, name, "one", each / 1024, "KB", _beside(each, bare and bare.each)),
            Measurement(
                GROUP, name, "CPU an event", spent_each * 1e6, "us", _beside(spent_each, bare and median(bare.cpu))
            ),
            Measurement(GROUP, name, "to all, p50", told.p50 * 1e3, "ms"),
            Measurement(GROUP, name, "to all, p95", told.p95 * 1e3, "ms"),
            Measurement(GROUP, name, "to all, max", told.maximum * 1e3, "ms"),
        ]
        return found + [row for way, seconds in self.over.items() for row in _over(name, way, seconds)]

    @property
    def each(self) -> float:
        """Bytes that one stream takes."""
        return (self.full - self.empty) / len(self.audience.clients)


def _beside(value: float, bare: float | None) -> float | None:
    """Times the bare one's; None where that is not known, or so little that it was not seen."""
    return value / bare if bare is not None and min(value, bare) > 0 else None


def _over(name: str, way: str, seconds: Sequence[float]) -> list[Measurement]:
    found = summarise(seconds)
    figures = (("p50", found.p50), ("p95", found.p95), ("max", found.maximum))
    return [Measurement(OVER, name, f"{way}, {metric}", value * 1e3, "ms") for metric, value in figures]


def measure(session: Session) -> list[Measurement]:
    """All contenders that are installed.

    Raises:
        NotWorkingError: a client was not told something, or work went on for one that had left.
    """
    contenders = session.installed(GROUP, CONTENDERS)
    database = session.surroundings({"database"}).database_url
    nginx = PASSING.file is not None
    if not nginx:
        session.leave_out(f"{GROUP}: through nginx: nginx not installed")
    count = QUICK_OPEN if session.quick else OPEN
    tellings = QUICK_TELLINGS if session.quick else TELLINGS
    leavers = QUICK_LEAVERS if session.quick else LEAVERS
    advance = session.progress(GROUP, 2 * len(contenders) + tellings + 1)

    async def run(folder: Path) -> list[Measurement]:
        async with AsyncExitStack() as stack:
            houses = await asyncio.gather(*(_house(each, {}, folder, stack) for each in contenders))
            for house in houses:
                await house.fill(count)
                advance()
            for number in range(tellings):
                for house in Random(number).sample(houses, len(houses)):
                    await house.tell()
                advance()
            for house in houses:
                await house.lose(leavers, "direct", house.process.port)
                if nginx:
                    with standing(PASSING, house.process.port, folder) as (port, _):
                        await _listening(port)
                        await house.lose(leavers, "through nginx", port)
                advance()
            bare = next((house for house in houses if house.contender is BARE), None)
            rows = [row for house in houses for row in house.rows(bare)]
            searching = await _house(SEARCHING, {"TAILRACE_DATABASE_URL": database}, folder, stack)
            rows += _over(SEARCHING.name, "direct", await _searches(searching, database, leavers))
            advance()
            return rows

    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        Path(folder).chmod(0o711)  # servers' workers are another user's
        return uvloop.run(run(Path(folder)))


async def _house(contender: Contender, environment: dict[str, str], folder: Path, stack: AsyncExitStack) -> House:
    server = ServerProcess(
        contender.factory,
        f"bench._streams_server:{contender.factory}",
        environment,
        folder,
        ready="/ended",
        arguments=("--factory",),
    )
    stack.push_async_callback(server.stop)
    await server.start()
    control = await stack.enter_async_context(Connections(server.url, timeout=PATIENCE))
    audience = Audience(server.port, "open")
    stack.callback(audience.leave)
    return House(contender, server, control, audience)


async def _listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return


async def _searches(house: House, database: str, count: int) -> list[float]:
    """One after the other: a client comes, the database begins to work for it, the client leaves."""
    watcher = await asyncpg.connect(database)

    async def until(running: int) -> float:
        async with asyncio.timeout(PATIENCE):
            while await watcher.fetchval(RUNNING) != running:
                pass
        return time.monotonic()

    took = []
    try:
        for _ in range(count):
            visitor = Audience(house.process.port, "searching")
            await visitor.join(1)
            await until(1)
            left = time.monotonic()
            visitor.leave()
            took.append(await until(0) - left)
    except TimeoutError:
        raise NotWorkingError(f"{house.contender.name}: the database worked on for a client that had left") from None
    finally:
        await watcher.close()
    return took
