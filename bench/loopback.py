"""Server CPU a request over loopback: uvicorn, uvloop and httptools in a process each, loaded by ``tailrace.verify``.

Two loads: users who send as soon as they are answered, so that the server is always busy; and a fixed rate, the same
for all, so that all sleep and are woken as often. Rounds are interleaved and the median counts, so that what else the
machine does falls on all alike. CPU is all that the kernel has accounted to the server's process; what the same server
uses while nobody asks it (the relay's passes) is in it, and shown by itself as well. The bare application sends the
least there can be, and once the same header fields as a hit, since a server pays for every field.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg
import uvicorn
import uvloop
from pydantic import SecretStr

from bench import Measurement
from bench.layers import ITEMS, service
from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace.settings import Settings
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import LoadResult, closed_loop, open_loop

ROUNDS = 10
SECONDS = 0.3
IDLE = 1.0
USERS = 8
RATE = 800
CALLER = {"x-user": "7", "accept": "*/*", "user-agent": "bench/1"}
BODY = bytes(str(ITEMS).replace("'", '"').replace(" ", ""), "ascii")
FEWEST = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
AS_A_HIT = [
    *FEWEST,
    (b"cache-control", b"private, no-cache"),
    (b"etag", b'"cae66941d9efbd404e4d88758ea67670"'),
    (b"age", b"0"),
    (b"cache-status", b"tailrace; hit; ttl=599"),
    (b"x-request-id", b"0123456789ab-1f"),
    (b"x-response-time", b"0.012ms"),
]

SCHEDULED = 2
"""CPUCLOCK_SCHED: the scheduler's own account, of which a process's CPU clock is made."""

NextRequest = Callable[[int, int], Request]


@dataclass
class Subject:
    """A server to load, and with what. ``rounds`` in microseconds a request, ``idle`` in CPU milliseconds a second."""

    name: str
    make: Callable[[], Any]
    asks: NextRequest
    compared_with: str = "bare ASGI"
    idle: float = 0.0
    process: Any = None
    url: str = ""
    rounds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def cost(self, load: str) -> float:
        """The median round, microseconds a request."""
        return median(self.rounds[load])


def bare(headers: list[tuple[bytes, bytes]]) -> Any:
    """An application that has its bytes ready."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    return app


def subjects(database_url: str, valkey_url: str) -> list[Subject]:
    """What is compared."""
    settings = Settings(database_url=SecretStr(database_url), valkey_url=SecretStr(valkey_url))
    cached, plain = Request("cached", "/cached", headers=CALLER), Request("plain", "/plain", headers=CALLER)
    numbers = itertools.count()

    def again(user: int, turn: int) -> Request:
        return cached

    def uncached(user: int, turn: int) -> Request:
        return plain

    def new(user: int, turn: int) -> Request:
        return Request("new", f"/cached?n={next(numbers)}", headers=CALLER)

    def stacked(given: Settings | None = None) -> Any:
        return service(tailrace=True, settings=given)

    return [
        Subject("bare ASGI", lambda: bare(FEWEST), uncached),
        Subject("bare ASGI, fields of a hit", lambda: bare(AS_A_HIT), uncached),
        Subject("hit, memory, Tailrace served", lambda: stacked().state.tailrace, again),
        Subject("hit, memory, application served", stacked, again),
        Subject("hit, tiered, Tailrace served", lambda: stacked(settings).state.tailrace, again),
        Subject("hit, tiered, application served", lambda: stacked(settings), again),
        Subject("FastAPI", lambda: service(tailrace=False), uncached),
        Subject("not cached, through the layers", lambda: stacked(settings), uncached, "FastAPI"),
        Subject("miss, memory", stacked, new, "FastAPI"),
        Subject("miss, tiered", lambda: stacked(settings), new, "FastAPI"),
    ]


def _serve(make: Callable[[], Any], listener: socket.socket) -> None:
    config = uvicorn.Config(make(), loop="uvloop", http="httptools", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _served(all_of_them: list[Subject]) -> Iterator[None]:
    fork = multiprocessing.get_context("fork")
    try:
        for subject in all_of_them:
            with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
                subject.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                subject.process = fork.Process(target=_serve, args=(subject.make, listener), daemon=True)
                subject.process.start()
        yield
    finally:
        for subject in all_of_them:
            if subject.process is not None:
                subject.process.terminate()
        for subject in all_of_them:
            if subject.process is not None:
                subject.process.join()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, to the nanosecond. **Source:** clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | SCHEDULED)


async def _warm(subject: Subject) -> None:
    """Load until the server answers as it will be measured: a hit is one only once the horizon is trusted."""
    expected = "tailrace; hit" if subject.name.startswith("hit") else ""
    async with Connections(subject.url) as connections, asyncio.timeout(30):
        while True:
            exchange = await connections.exchange(subject.asks(0, 0))
            response = exchange.response
            answered = response is not None and response.status == 200
            if response is not None and answered and (response.header("cache-status") or "").startswith(expected):
                return
            await asyncio.sleep(0.02)


async def _closed(subject: Subject, connections: Connections) -> LoadResult:
    return await closed_loop(connections, subject.asks, users=USERS, duration=SECONDS)


async def _paced(subject: Subject, connections: Connections) -> LoadResult:
    due = [number / RATE for number in range(round(RATE * SECONDS))]
    return await open_loop(connections, [subject.asks(0, turn) for turn in range(len(due))], due)


LOADS = {"closed loop": _closed, f"{RATE} a second": _paced}


async def _round(subject: Subject, load: str) -> None:
    async with Connections(subject.url) as connections:
        before = cpu_seconds(subject.process.pid)
        result = await LOADS[load](subject, connections)
        used = cpu_seconds(subject.process.pid) - before
    if result.errors:
        raise RuntimeError(f"{subject.name}: {dict(result.errors)}")
    subject.rounds[load].append(used / result.requests * 1e6)


async def _measure(all_of_them: list[Subject]) -> None:
    for subject in all_of_them:
        await _warm(subject)
        await _round(subject, "closed loop")
        subject.rounds.clear()
    before = [cpu_seconds(subject.process.pid) for subject in all_of_them]
    await asyncio.sleep(IDLE)
    for subject, used in zip(all_of_them, before, strict=True):
        subject.idle = (cpu_seconds(subject.process.pid) - used) / IDLE * 1000
    for _ in range(ROUNDS):
        for load in LOADS:
            for subject in all_of_them:
                await _round(subject, load)


async def _install(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close()


def main() -> list[Measurement]:
    """Measure, with a PostgreSQL and a Valkey of its own."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = PostgresServer(folder / "postgres", settings={"fsync": "off"})
        with postgres, ValkeyServer(folder / "valkey") as valkey:
            asyncio.run(_install(postgres.url()))
            found = subjects(postgres.url(), valkey.url)
            with _served(found):
                uvloop.run(_measure(found))
    by_name = {subject.name: subject for subject in found}
    measured = []
    for subject in found:
        for load in LOADS:
            cost = subject.cost(load)
            ratio = round(cost / by_name[subject.compared_with].cost(load), 3)
            measured.append(Measurement("loopback", subject.name, f"server CPU, {load}", round(cost, 2), "us", ratio))
        measured.append(Measurement("loopback", subject.name, "CPU while idle", round(subject.idle, 2), "ms/s"))
    return measured


if __name__ == "__main__":
    for one in main():
        print(f"{one.name:<36} {one.metric:<26} {one.value:>9.2f} {one.unit:<5} {one.ratio_to_bare or ''}")
