"""Servers over loopback: CPU of the server a request, and requests a second, by uvicorn and by granian.

Every contender is served in a process of its own, with uvloop. Eight users send as soon as they are answered, so that
the server is always busy; the load comes from ``tailrace.verify`` in this process, on the same machine. Turns are
interleaved, in an order drawn anew each round. CPU is all that the kernel has accounted to the server's process, its
threads included; what it uses while nobody asks is in it, and shown by itself as well.

Contenders are proved in process before (``bench.arena``). Here the answer is looked at again as it comes over the wire,
and each turn's requests are compared with how often the endpoint was entered.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from random import Random
from statistics import median
from typing import Any

import uvicorn
import uvloop

from bench import Measurement
from bench.application import Application
from bench.arena import PROVE_TIMEOUT, failures, received, seated, told
from bench.asking import HOST, Answer, ASGIApp
from bench.checks import answers, computed_times, hits
from bench.contender import NotWorkingError, Surroundings
from bench.service import CALLS
from bench.stacks import BARE, OVER_LOOPBACK
from tailrace.embedded import free_port
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import closed_loop

__all__ = ["SERVERS", "cpu_seconds", "measure"]

SECONDS = 0.25
IDLE = 1.0
USERS = 8
START = 20.0
"""Seconds within which a server must answer."""
SCHEDULED = 2
"""CPUCLOCK_SCHED: the scheduler's own account, of which a process's CPU clock is made."""


class OverTheWire:
    """Asks a server; a caller cannot be chosen, it is this machine."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, target: str, *, accepts: str = "identity", caller: str = HOST) -> Answer:
        """The whole answer."""
        response = await self._connections.send(request_for(target, accepts))
        lines = response.head.decode("latin-1").split("\r\n")[1:]
        fields = (line.partition(":") for line in lines if line)
        return Answer(response.status, {name.lower(): value.strip() for name, _, value in fields}, response.body)


@dataclass(slots=True)
class Served:
    """A contender's server, and what was measured of it.

    Attributes:
        cpu: microseconds a request, by turn.
        rate: requests a second, by turn.
        idle: CPU milliseconds a second, while nobody asks.
    """

    contender: Application
    url: str
    pid: int
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    idle: float = 0.0


def request_for(target: str, accepts: str) -> Request:
    """What users send, the same as in process."""
    fields = {"user-agent": "bench/1", "accept": "*/*", "accept-encoding": accepts, "x-user": "7"}
    return Request("asked", target, headers=fields)


def measure(
    server: str, contenders: Sequence[Any], surroundings: Surroundings, rounds: int, advance: Callable[[], None]
) -> list[Measurement]:
    """Load them all.

    Raises:
        NotWorkingError: one does not do its work.
    """
    with ExitStack() as stack:
        served = [stack.enter_context(_served(server, each, surroundings)) for each in contenders]
        uvloop.run(_measure(served, rounds, advance))
    return _rows(server, served)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, to the nanosecond. **Source:** clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | SCHEDULED)


@contextmanager
def _served(server: str, contender: Application, surroundings: Surroundings) -> Iterator[Served]:
    with seated(_serve, server, contender.name, surroundings) as pipe:
        port, pid = told(pipe, f"{server}: {contender.name}", PROVE_TIMEOUT)
        yield Served(contender, f"http://{HOST}:{port}", pid)


async def _measure(served: Sequence[Served], rounds: int, advance: Callable[[], None]) -> None:
    for each in served:
        try:
            await _prove(each)
        except (NotWorkingError, TimeoutError) as error:
            raise NotWorkingError(f"{each.contender.name}: {error}") from error
        await _turn(each)
        each.cpu.clear()
        each.rate.clear()
    before = [cpu_seconds(each.pid) for each in served]
    await asyncio.sleep(IDLE)
    for each, used in zip(served, before, strict=True):
        each.idle = (cpu_seconds(each.pid) - used) / IDLE * 1000
    for number in range(rounds):
        for each in Random(number).sample(served, len(served)):
            await _turn(each)
        advance()


async def _prove(served: Served) -> None:
    contender = served.contender
    async with Connections(served.url) as connections:
        asker = OverTheWire(connections)
        async with asyncio.timeout(START):
            while (await connections.exchange(request_for(contender.target, contender.accepts))).error:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        if contender.computes == 0:
            await hits(asker, contender)
        await answers(asker, contender)
        if contender.computes == 1 and await computed_times(asker, contender, 3) != 3:
            raise NotWorkingError("answered without being computed")


async def _turn(served: Served) -> None:
    contender = served.contender
    request = request_for(contender.target, contender.accepts)
    async with Connections(served.url) as connections:
        asker = OverTheWire(connections)
        computed = await _computed(asker, contender)
        before = cpu_seconds(served.pid)
        result = await closed_loop(connections, lambda user, turn: request, users=USERS, duration=SECONDS)
        used = cpu_seconds(served.pid) - before
        computed = await _computed(asker, contender) - computed
    statuses = dict(result.total().statuses)
    if result.errors or set(statuses) != {200}:
        raise NotWorkingError(f"{contender.name}: {dict(result.errors)} {statuses}")
    if computed != result.requests * (contender.computes or 0):
        raise NotWorkingError(f"{contender.name}: computed {computed} times at {result.requests} requests")
    served.cpu.append(used / result.requests * 1e6)
    served.rate.append(result.requests_per_second)


async def _computed(asker: OverTheWire, contender: Application) -> int:
    return 0 if contender.computes is None else int((await asker.get(CALLS)).json())


def _rows(server: str, served: Sequence[Served]) -> list[Measurement]:
    bare = next(min(each.cpu) for each in served if each.contender.name == BARE.name)
    rows = []
    for each in served:
        name, cost = each.contender.name, min(each.cpu)
        rows += [
            Measurement(server, name, "server CPU a request", cost, "us", cost / bare),
            Measurement(server, name, "median", median(each.cpu), "us"),
            Measurement(server, name, "requests", max(each.rate), "1/s"),
            Measurement(server, name, "CPU while idle", each.idle, "ms/s"),
        ]
    return rows


# --- in the server's process ------------------------------------------------------------------------------------------


def _serve(pipe: Connection, server: str, contender: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        found: Any = next(each for each in OVER_LOOPBACK.contenders if each.name == contender)
        await SERVERS[server](pipe, found.make(surroundings))

    failures(pipe, run)


async def _by_uvicorn(pipe: Connection, app: ASGIApp) -> None:
    with socket.create_server((HOST, 0), backlog=128) as listener:
        config = uvicorn.Config(app, http="httptools", lifespan="on", access_log=False, log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        pipe.send((listener.getsockname()[1], os.getpid()))
        await _closed(pipe, serving)
        server.should_exit = True
        await serving


async def _by_granian(pipe: Connection, app: ASGIApp) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    port = free_port()
    server = Server(app, HOST, port, interface=Interfaces.ASGI, log_enabled=False)
    serving = asyncio.create_task(server.serve())
    pipe.send((port, os.getpid()))
    await _closed(pipe, serving)
    server.stop()
    await serving


async def _closed(pipe: Connection, serving: asyncio.Task[Any]) -> None:
    """Wait until nobody listens to the pipe any more, or serving ends by itself."""
    waiting = asyncio.create_task(received(pipe))
    await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


SERVERS = {"uvicorn": _by_uvicorn, "granian": _by_granian}
