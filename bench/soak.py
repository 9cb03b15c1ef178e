"""Whether memory stays flat: ten minutes of ever new clients, paths and answers, with the server's memory once a while.

Every layer is on; the store in the process may hold 2,000 entries, so that it is full after the first minute and
everything that is remembered beside it has been pushed out many times at the end. Of a hundred requests 60 are for
answers without a database, 20 for rows of one of 20,000 customers, 16 for results that the query cache keeps, each with
parameters of its own, and 4 write; others write by SQL twice a second, which the relay has to tell.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import asyncpg
import uvloop

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, seated, told
from bench.asking import HOST
from bench.session import Session
from bench.soak_service import CUSTOMERS, prepare, serve
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import LoadResult, open_loop

__all__ = ["measure"]

GROUP = "soak"
STEPS = 20
STEP, QUICK_STEP = 30.0, 0.5
"""Seconds between two looks at the memory."""
RATE = 40
BY_SQL = 2
"""Writes a second by others."""
USERS = 20_000
TURNED_AWAY = "status_503"
"""Of a machine that is held up by others' work a server sheds load, as it should; these are counted. Whatever else
fails is told at the end, and ends nothing: memory is what is asked."""


def measure(session: Session) -> list[Measurement]:
    """Memory by the minute, as far as it came; what did not work is among the session's problems.

    Raises:
        NotWorkingError: the server does not start.
    """
    step = QUICK_STEP if session.quick else STEP
    surroundings = session.surroundings({"valkey", "database"})
    asyncio.run(prepare(surroundings.database_url))
    soaked = Soaked(step)
    with seated(serve, surroundings) as pipe:
        port, pid = told(pipe, GROUP, PROVE_TIMEOUT)
        advance = session.progress(GROUP, STEPS)
        try:
            uvloop.run(_soak(soaked, f"http://{HOST}:{port}", surroundings.database_url, pid, advance))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            after = (len(soaked.held) - 1) * step
            session.problems.append(f"{GROUP}: it ended after {after:g} s: {type(error).__name__}: {error}")
    if soaked.failed:
        session.problems.append(f"{GROUP}: of {soaked.asked} requests failed: {dict(soaked.failed)}")
    return soaked.rows()


@dataclass(slots=True)
class Soaked:
    """What was seen so far: resident memory in MB at each look, ``step`` seconds apart; how requests went."""

    step: float
    held: list[float] = field(default_factory=list)
    asked: int = 0
    turned_away: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, result: LoadResult) -> None:
        """Count one step's requests."""
        errors, statuses = result.errors, result.total().statuses
        self.asked += result.requests
        self.turned_away += errors.pop(TURNED_AWAY, 0)
        self.failed += errors
        self.failed.update({f"status_{status}": n for status, n in statuses.items() if 200 != status < 500})

    def rows(self) -> list[Measurement]:
        """Each look; what was asked; the growth of the second half, if there is one."""
        rows = [
            Measurement(GROUP, f"after {number * self.step:g} s", "resident memory", megabytes, "MB")
            for number, megabytes in enumerate(self.held)
        ]
        counted = {"asked": self.asked, "turned away": self.turned_away, "failed": self.failed.total()}
        rows += [Measurement(GROUP, "all of it", name, count, "") for name, count in counted.items()]
        if len(self.held) > STEPS:
            half = self.held[len(self.held) // 2]
            rows.append(Measurement(GROUP, "second half", "growth", 100 * (self.held[-1] / half - 1), "%"))
        return rows


async def _soak(soaked: Soaked, url: str, database: str, pid: int, advance: Callable[[], None]) -> None:
    draw, numbers = Random(1), count()
    soaked.held.append(_resident(pid))
    async with Connections(url) as client:
        for _ in range(STEPS):
            asked = round(RATE * soaked.step)
            others = asyncio.create_task(_write_by_sql(database, round(BY_SQL * soaked.step), draw))
            result = await open_loop(
                client,
                (_request(draw, next(numbers)) for _ in range(asked)),
                (number / RATE for number in range(asked)),
            )
            soaked.add(result)
            await others
            soaked.held.append(_resident(pid))
            advance()


def _request(draw: Random, number: int) -> Request:
    """Mostly of users that have not been seen lately; each path is new in its query."""
    name, kind, customer = draw.randrange(USERS), draw.random(), draw.randrange(CUSTOMERS)
    fields = {"x-user": str(name), "accept-encoding": draw.choice(("identity", "gzip", "br", "zstd"))}
    if kind < 0.04:
        return Request("written", f"/orders/{customer}", "POST", headers=fields)
    if kind < 0.20:
        return Request("totals", f"/totals/{customer}?last={customer + draw.randrange(100)}", headers=fields)
    if kind < 0.40:
        return Request("orders", f"/orders/{customer}", headers=fields)
    return Request("asked", f"/lines/{draw.randrange(100)}?page={number % 997}&n={number}", headers=fields)


async def _write_by_sql(url: str, times: int, draw: Random) -> None:
    """As others do, evenly over a step; each ends answers that are kept."""
    connection = await asyncpg.connect(url)
    try:
        for _ in range(times):
            await connection.execute("UPDATE orders SET amount = 1 WHERE customer = $1", draw.randrange(CUSTOMERS))
            await asyncio.sleep(1 / BY_SQL)
    finally:
        await connection.close()


def _resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
