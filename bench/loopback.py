"""Servers over loopback: CPU of the server a request, and requests a second, by uvicorn and by granian.

Every contender is served in a process of its own, with uvloop. Eight users send as soon as they are answered, so that
the server is always busy; the load comes from ``tailrace.verify`` in this process, on the same machine. Turns are
interleaved, in an order drawn anew each round. CPU is all that the kernel has accounted to the server's processes,
their threads included; what it uses while nobody asks is in it, and shown by itself as well.

Contenders are proved in process before (``bench.arena``). Here the answer is looked at again as it comes over the wire,
and each turn's requests are compared with how often the endpoint was entered.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import uvicorn
import uvloop

from bench import Measurement
from bench.application import Application
from bench.arena import PROVE_TIMEOUT, failures, found, received, seated, told
from bench.asking import HOST, Answer, ASGIApp
from bench.checks import answers, computed_times, hits
from bench.contender import NotWorkingError, Surroundings
from bench.fronts import FRONTS, standing
from bench.processes import clocks, spent
from bench.service import CALLS
from bench.stacks import BARE
from tailrace.embedded import free_port
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import closed_loop

__all__ = ["SERVERS", "Seat", "measure"]

SECONDS = 0.25
IDLE = 1.0
USERS = 8
START = 20.0
"""Seconds within which a server must answer."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A contender, and how it is served.

    Attributes:
        server: of ``SERVERS``.
        table: in which the contender is.
        application: itself.
        front: of ``fronts.FRONTS``, asked in its place, which makes hits of its answers; empty for none.
    """

    server: str
    table: str
    application: Application
    front: str = ""

    @property
    def asked(self) -> Application:
        """What is asked, and what it must answer."""
        return replace(self.application, name=self.front, computes=0) if self.front else self.application


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
        contender: what is asked.
        server: by which it, or what stands behind it, is served.
        process: the first of the server's.
        cpu: microseconds a request, by turn.
        rate: requests a second, by turn.
        idle: CPU milliseconds a second, while nobody asks.
    """

    contender: Application
    server: str
    url: str
    process: int
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    idle: float = 0.0


def request_for(target: str, accepts: str) -> Request:
    """What users send, the same as in process."""
    fields = {"user-agent": "bench/1", "accept": "*/*", "accept-encoding": accepts, "x-user": "7"}
    return Request("asked", target, headers=fields)


def measure(
    group: str, seats: Sequence[Seat], surroundings: Surroundings, rounds: int, advance: Callable[[], None]
) -> list[Measurement]:
    """Load them all.

    Raises:
        NotWorkingError: one does not do its work.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-bench-")))
        folder.chmod(0o711)  # servers' workers are another user's
        served = [stack.enter_context(_served(seat, surroundings, folder)) for seat in seats]
        uvloop.run(_measure(served, rounds, advance))
    return _rows(group, served)


@contextmanager
def _served(seat: Seat, surroundings: Surroundings, folder: Path) -> Iterator[Served]:
    who = f"{seat.server}: {seat.application.name}"
    with ExitStack() as stack:
        pipe = stack.enter_context(seated(_serve, seat.server, seat.table, seat.application.name, surroundings))
        port, process = told(pipe, who, PROVE_TIMEOUT)
        if seat.front:
            port, process = stack.enter_context(standing(FRONTS[seat.front], port, folder))
        yield Served(seat.asked, seat.server, f"http://{HOST}:{port}", process)


async def _measure(served: Sequence[Served], rounds: int, advance: Callable[[], None]) -> None:
    for each in served:
        try:
            await _prove(each)
        except (NotWorkingError, TimeoutError) as error:
            raise NotWorkingError(f"{each.contender.name}: {error}") from error
        await _turn(each)
        each.cpu.clear()
        each.rate.clear()
    before = [clocks(each.process) for each in served]
    await asyncio.sleep(IDLE)
    for each, at_first in zip(served, before, strict=True):
        each.idle = spent(at_first, clocks(each.process)) / IDLE * 1000
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
        before = clocks(served.process)
        result = await closed_loop(connections, lambda user, turn: request, users=USERS, duration=SECONDS)
        used = spent(before, clocks(served.process))
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


def _rows(group: str, served: Sequence[Served]) -> list[Measurement]:
    """Beside the bare application by the same server, which those of several are named after."""
    bare = {each.server: each for each in served if each.contender.name == BARE.name}
    rows = []
    for each in served:
        name, cost, rate = each.contender.name, min(each.cpu), max(each.rate)
        if len(bare) > 1 and name not in FRONTS:
            name = f"{name}, by {each.server}"
        beside = bare[each.server]
        rows += [
            Measurement(group, name, "server CPU a request", cost, "us", cost / min(beside.cpu)),
            Measurement(group, name, "median", median(each.cpu), "us"),
            Measurement(group, name, "requests", rate, "1/s", rate / max(beside.rate)),
            Measurement(group, name, "CPU while idle", each.idle, "ms/s"),
        ]
    return rows


# --- in the server's process ------------------------------------------------------------------------------------------


def _serve(pipe: Connection, server: str, table: str, contender: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        application: Any = found(table, contender)
        await SERVERS[server](pipe, application.make(surroundings))

    failures(pipe, run)


async def _by_uvicorn(pipe: Connection, app: ASGIApp) -> None:
    with socket.create_server((HOST, 0), backlog=128) as listener:
        # Kept for longer than a client's pause: one that is closed just as it is used again counts as an error.
        config = uvicorn.Config(
            app, http="httptools", lifespan="on", access_log=False, log_level="warning", timeout_keep_alive=75
        )
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
