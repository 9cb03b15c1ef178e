"""What clients notice of a shared store that fails: a service with our cache beside the same one without any.

Both are asked at the same moments, so that what else the machine does falls on both. An answer takes 10 ms to compute
and is kept for a second, so that the store is in use all the time. The store is slow (200 ms), hangs, is killed and
started again, is full, or answers at random; the load begins with the fault and outlasts its beginning.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import uvloop
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, failures, seated, told
from bench.asking import HOST, ASGIApp
from bench.contender import Surroundings
from bench.loopback import SERVERS
from bench.session import Session
from tailrace import Tailrace, cached
from tailrace.embedded import ValkeyServer
from tailrace.settings import RateLimitSettings, Settings, SheddingSettings
from tailrace.testing.line import Line
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import LoadResult, open_loop
from tailrace.verify.statistics import summarise

__all__ = ["FAULTS", "measure"]

GROUP = "store faults"
COMPUTE = 0.010
KEPT = 1.0
PATHS = 200
RATE = 100
SECONDS, QUICK_SECONDS = 8.0, 1.0
WITHOUT, WITH = "no cache", "Tailrace"
TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Store:
    """The store, and the line by which the service reaches it."""

    server: ValkeyServer
    line: Line


@asynccontextmanager
async def _healthy(store: Store) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def _slow(store: Store) -> AsyncIterator[None]:
    store.line.delay = 0.2
    yield
    store.line.delay = 0.0


@asynccontextmanager
async def _hanging(store: Store) -> AsyncIterator[None]:
    assert store.server.pid is not None
    os.kill(store.server.pid, signal.SIGSTOP)
    yield
    os.kill(store.server.pid, signal.SIGCONT)


@asynccontextmanager
async def _killed(store: Store) -> AsyncIterator[None]:
    await asyncio.to_thread(store.server.kill)
    yield
    await asyncio.to_thread(store.server.start)


@asynccontextmanager
async def _restarting(store: Store) -> AsyncIterator[None]:
    """Killed and started again, over and over."""

    over = asyncio.Event()

    async def again() -> None:
        while not over.is_set():
            await asyncio.to_thread(store.server.restart)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.5)

    # Not cancelled, as a thread cannot be: it would start the server while somebody else does.
    task = asyncio.create_task(again())
    yield
    over.set()
    await task


@asynccontextmanager
async def _full(store: Store) -> AsyncIterator[None]:
    async with Redis.from_url(store.server.url) as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set("maxmemory", "1")
        yield
        await redis.config_set("maxmemory", "0")


@asynccontextmanager
async def _nonsense(store: Store) -> AsyncIterator[None]:
    store.line.nonsense = True
    yield
    store.line.nonsense = False


FAULTS = {
    "none": _healthy,
    "slow, 200 ms": _slow,
    "hanging": _hanging,
    "killed": _killed,
    "restarting": _restarting,
    "full": _full,
    "answers at random": _nonsense,
}


def measure(session: Session) -> list[Measurement]:
    """Each fault in turn.

    Raises:
        NotWorkingError: a service does not start.
    """
    if not session.has("redis"):
        session.leave_out("redis not installed")
        return []
    seconds = QUICK_SECONDS if session.quick else SECONDS
    with _started_store() as server:
        return uvloop.run(_measure(server, seconds, session.progress(GROUP, len(FAULTS))))


@contextmanager
def _started_store() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the server's user is another one
        with ValkeyServer(folder / "valkey") as server:
            yield server


async def _measure(server: ValkeyServer, seconds: float, advance: Callable[[], None]) -> list[Measurement]:
    rows: list[Measurement] = []
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(Line(server.port))
        url = server.url.replace(f":{server.port}", f":{line.port}")
        clients = {}
        for name in (WITHOUT, WITH):
            pipe = stack.enter_context(seated(_serve, name, Surroundings(valkey_url=url)))
            port, _ = await asyncio.to_thread(told, pipe, name, PROVE_TIMEOUT)
            clients[name] = await stack.enter_async_context(Connections(f"http://{HOST}:{port}", timeout=TIMEOUT))
            await _answering(clients[name])
        for fault, under in FAULTS.items():
            async with under(Store(server, line)):
                results = await asyncio.gather(*(_load(each, seconds) for each in clients.values()))
            rows += _rows(fault, dict(zip(clients, results, strict=True)))
            advance()
    return rows


async def _answering(client: Connections) -> None:
    async with asyncio.timeout(TIMEOUT):
        while (await client.exchange(Request("ready", "/calls"))).error:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def _load(client: Connections, seconds: float) -> LoadResult:
    draw = Random(1)
    count = round(RATE * seconds)
    asked = (Request("asked", f"/slow/{draw.randrange(PATHS)}") for _ in range(count))
    return await open_loop(client, asked, (number / RATE for number in range(count)))


def _rows(fault: str, results: dict[str, LoadResult]) -> list[Measurement]:
    rows = []
    p95 = {name: summarise(result.total().latencies).p95 * 1000 for name, result in results.items()}
    for name, result in results.items():
        failed = result.errors.total() + sum(
            count for status, count in result.total().statuses.items() if status != 200
        )
        rows += [
            Measurement(GROUP, f"{fault}: {name}", "p95", p95[name], "ms", p95[name] / p95[WITHOUT]),
            Measurement(GROUP, f"{fault}: {name}", "slowest", max(result.total().latencies) * 1000, "ms"),
            Measurement(GROUP, f"{fault}: {name}", "errors", failed, ""),
        ]
    return rows


# --- in the server's process ------------------------------------------------------------------------------------------


def _application(name: str, surroundings: Surroundings) -> ASGIApp:
    app = FastAPI()
    kept = cached(ttl=KEPT, shared=True) if name == WITH else lambda endpoint: endpoint
    computed = 0

    @app.get("/slow/{number}")
    @kept
    async def slow(number: int) -> dict[str, int]:
        nonlocal computed
        computed += 1
        await asyncio.sleep(COMPUTE)
        return {"number": number}

    @app.get("/calls")
    async def calls() -> int:
        return computed

    if name == WITH:
        url = SecretStr(surroundings.valkey_url)
        settings = Settings(
            database_url=None,
            valkey_url=url,
            rate_limit=RateLimitSettings(enabled=False),
            shedding=SheddingSettings(enabled=False),
        )
        served: Tailrace = Tailrace(app, settings)
        return served
    return app


def _serve(pipe: Connection, name: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        await SERVERS["uvicorn"](pipe, _application(name, surroundings))

    failures(pipe, run)
