"""Whether memory stays flat: ten minutes of ever new clients, paths and answers, with the server's memory once a while.

Every layer is on; the store in the process may hold 2,000 entries, so that it is full after the first minute and
everything that is remembered beside it has been pushed out many times at the end. Of a hundred requests 60 are for
answers without a database, 20 for rows of one of 20,000 customers, 16 for results that the query cache keeps, each with
parameters of its own, and 4 write; others write by SQL twice a second, which the relay has to tell.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from random import Random

import asyncpg
import uvloop

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, seated, told
from bench.asking import HOST
from bench.contender import NotWorkingError
from bench.session import Session
from bench.soak_service import CUSTOMERS, prepare, serve
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import open_loop

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
"""Of a machine that is held up by others' work a server sheds load, as it should; these are counted."""


def measure(session: Session) -> list[Measurement]:
    """Memory by the minute.

    Raises:
        NotWorkingError: a request failed.
    """
    step = QUICK_STEP if session.quick else STEP
    surroundings = session.surroundings({"valkey", "database"})
    asyncio.run(prepare(surroundings.database_url))
    advance = session.progress(GROUP, STEPS)
    with seated(serve, surroundings) as pipe:
        port, pid = told(pipe, GROUP, PROVE_TIMEOUT)
        return uvloop.run(_measure(f"http://{HOST}:{port}", surroundings.database_url, pid, step, advance))


async def _measure(url: str, database: str, pid: int, step: float, advance: Callable[[], None]) -> list[Measurement]:
    draw, numbers = Random(1), count()
    held, turned_away = [_resident(pid)], 0
    async with Connections(url) as client:
        for _ in range(STEPS):
            asked = round(RATE * step)
            others = asyncio.create_task(_write_by_sql(database, round(BY_SQL * step), draw))
            result = await open_loop(
                client,
                (_request(draw, next(numbers)) for _ in range(asked)),
                (number / RATE for number in range(asked)),
            )
            await others
            failed, statuses = dict(result.errors), set(result.total().statuses)
            turned_away += failed.pop(TURNED_AWAY, 0)
            if failed or not statuses <= {200, 503}:
                raise NotWorkingError(f"{GROUP}: {failed} {statuses}")
            held.append(_resident(pid))
            advance()
    rows = [
        Measurement(GROUP, f"after {number * step:g} s", "resident memory", megabytes, "MB")
        for number, megabytes in enumerate(held)
    ]
    half = held[len(held) // 2]
    rows.append(Measurement(GROUP, "all of it", "turned away", turned_away, ""))
    return [*rows, Measurement(GROUP, "second half", "growth", 100 * (held[-1] / half - 1), "%")]


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
