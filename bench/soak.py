"""Whether memory stays flat: ten minutes of ever new clients, paths and answers, with the server's memory once a while.

Every layer is on; the store in the process may hold 2,000 entries, so that it is full after the first minute and
everything that is remembered beside it has been pushed out many times at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import uvloop
from fastapi import FastAPI
from pydantic import SecretStr

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, failures, seated, told
from bench.asking import HOST, ASGIApp
from bench.contender import NotWorkingError, Surroundings
from bench.loopback import SERVERS
from bench.session import Session
from bench.stacks import user
from tailrace import Tailrace, cached
from tailrace.settings import CacheSettings, RateLimitSettings, Settings
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import open_loop

__all__ = ["measure"]

GROUP = "soak"
STEPS = 20
STEP, QUICK_STEP = 30.0, 0.5
"""Seconds between two looks at the memory."""
RATE = 40
ENTRIES = 2000
USERS = 20_000
LINES = 60


def measure(session: Session) -> list[Measurement]:
    """Memory by the minute.

    Raises:
        NotWorkingError: a request failed.
    """
    step = QUICK_STEP if session.quick else STEP
    surroundings = session.surroundings({"valkey"})
    advance = session.progress(GROUP, STEPS)
    with seated(_serve, surroundings) as pipe:
        port, pid = told(pipe, GROUP, PROVE_TIMEOUT)
        return uvloop.run(_measure(f"http://{HOST}:{port}", pid, step, advance))


async def _measure(url: str, pid: int, step: float, advance: Callable[[], None]) -> list[Measurement]:
    draw, numbers = Random(1), count()
    held = [_resident(pid)]
    async with Connections(url) as client:
        for _ in range(STEPS):
            asked = round(RATE * step)
            result = await open_loop(
                client,
                (_request(draw, next(numbers)) for _ in range(asked)),
                (number / RATE for number in range(asked)),
            )
            statuses = set(result.total().statuses)
            if result.errors or statuses != {200}:
                raise NotWorkingError(f"{GROUP}: {dict(result.errors)} {statuses}")
            held.append(_resident(pid))
            advance()
    rows = [
        Measurement(GROUP, f"after {number * step:g} s", "resident memory", megabytes, "MB")
        for number, megabytes in enumerate(held)
    ]
    half = held[len(held) // 2]
    return [*rows, Measurement(GROUP, "second half", "growth", 100 * (held[-1] / half - 1), "%")]


def _request(draw: Random, number: int) -> Request:
    """Mostly of users that have not been seen lately; each path is new in its query."""
    name = draw.randrange(USERS)
    fields = {"x-user": str(name), "accept-encoding": draw.choice(("identity", "gzip", "br", "zstd"))}
    return Request("asked", f"/lines/{draw.randrange(100)}?page={number % 997}&n={number}", headers=fields)


def _resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- in the server's process ------------------------------------------------------------------------------------------


def _application(surroundings: Surroundings) -> ASGIApp:
    app = FastAPI()

    @app.get("/lines/{number}")
    @cached(ttl=600, identity=user)
    async def lines(number: int, page: int, n: int) -> list[str]:
        return [f"line {each} of {number}, page {page}, asked as {n}" for each in range(LINES)]

    settings = Settings(
        database_url=None,
        valkey_url=SecretStr(surroundings.valkey_url),
        cache=CacheSettings(memory_entries=ENTRIES),
        rate_limit=RateLimitSettings(general=surroundings.rate, mode="leased"),
    )
    served: Tailrace = Tailrace(app, settings)
    return served


def _serve(pipe: Connection, surroundings: Surroundings) -> None:
    async def run() -> None:
        await SERVERS["uvicorn"](pipe, _application(surroundings))

    failures(pipe, run)
