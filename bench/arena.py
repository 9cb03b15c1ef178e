"""Measure tables in process: every contender in a process of its own, their rounds interleaved.

Touches: processes, their CPU clocks. A contender is proved in one process and measured in another, since a hundred
refused requests leave their traces in some. In each round each contender has its turn, in an order drawn anew, so that
what else the machine does falls on all alike. A turn is as many operations as take a few milliseconds of CPU, of all
threads; the garbage of the last one is collected before it, and some operations that are not counted come first, since
the process has slept and the processor has forgotten it.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import uvloop

from bench.contender import TIGHT, Contender, Fact, NotWorkingError, Surroundings, Table

__all__ = ["PROVE_TIMEOUT", "Samples", "failures", "found", "measure", "prove", "received", "seated", "told"]

TURN = 6_000.0
"""CPU microseconds of a turn."""
PROBE = 5
"""Operations by which the length of a turn is found."""
MOST = 20_000
PRELOADED = (
    "bench.tables",
    "aiocache",
    "asgi_correlation_id",
    "brotli_asgi",
    "cashews.contrib.fastapi",
    "fastapi_cache.decorator",
    "fastapi_limiter.depends",
    "granian.server.embed",
    "hishel.asgi",
    "limits.aio.storage",
    "prometheus_fastapi_instrumentator",
    "pyrate_limiter",
    "redis.asyncio",
    "slowapi.middleware",
    "starlette_compress",
    "starlette_exporter",
    "throttled.asyncio",
    "uvicorn",
)
"""Imported once for all processes; what is not installed is passed over."""
PROVE_TIMEOUT = 60.0
"""Seconds."""

Samples = dict[str, list[float]]
"""CPU microseconds of one operation, for each contender and round."""

Advance = Callable[[], None]


def measure(table: Table, surroundings: Surroundings, rounds: int, advance: Advance) -> Samples:
    """All contenders, ``rounds`` turns each; they must have been proved.

    Raises:
        NotWorkingError: one ceased to do its work; its name is in the message.
    """
    with ExitStack() as stack:
        turns = {c.name: stack.enter_context(_measured(table, c, surroundings)) for c in table.contenders}
        samples: Samples = {name: [] for name in turns}
        for number in range(rounds):
            for name in _order(list(turns), number):
                samples[name].append(turns[name]())
            advance()
    return samples


def prove(table: Table, contender: Contender, surroundings: Surroundings) -> Sequence[Fact]:
    """See that a contender works, in a process of its own; what else was seen.

    Raises:
        NotWorkingError: it does not.
    """
    with seated(_prove, table.name, contender.name, replace(surroundings, allowed=TIGHT)) as pipe:
        return tuple(told(pipe, f"{table.name}: {contender.name}", PROVE_TIMEOUT))


@contextmanager
def seated(run: Callable[..., Any], *arguments: Any) -> Iterator[Connection]:
    """A process that does ``run(pipe, *arguments)``, until the pipe's other end, which is given, is closed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(PROVE_TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()


def told(pipe: Connection, who: str, timeout: float) -> Any:
    """What comes through the pipe.

    Raises:
        NotWorkingError: that it does not work, or nothing.
    """
    if not pipe.poll(timeout):
        raise NotWorkingError(f"{who}: no answer within {timeout:g} s")
    try:
        answer = pipe.recv()
    except EOFError:
        raise NotWorkingError(f"{who}: its process ended") from None
    if isinstance(answer, str):
        raise NotWorkingError(f"{who}: {answer}")
    return answer


def failures(pipe: Connection, run: Callable[[], Any]) -> None:
    """Run the asynchronous ``run``; what it raises is said through the pipe instead."""
    try:
        uvloop.run(run())
    except (EOFError, BrokenPipeError):
        pass  # nobody listens any more: the end
    except NotWorkingError as error:
        pipe.send(str(error))
    except Exception:
        pipe.send(traceback.format_exc())


async def received(pipe: Connection) -> Any:
    """The next message; the event loop goes on meanwhile.

    Raises:
        EOFError: the other end is closed.
    """
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.recv()


@contextmanager
def _measured(table: Table, contender: Contender, surroundings: Surroundings) -> Iterator[Callable[[], float]]:
    who = f"{table.name}: {contender.name}"
    with seated(_measure, table.name, contender.name, surroundings) as pipe:
        operations = told(pipe, who, PROVE_TIMEOUT)

        def turn() -> float:
            pipe.send(operations)
            return float(told(pipe, who, PROVE_TIMEOUT))

        yield turn


def _order(names: Sequence[str], number: int) -> list[str]:
    return Random(number).sample(names, len(names))


# --- in the contender's process ---------------------------------------------------------------------------------------


def found(table: str, contender: str) -> Contender:
    """The contender of that name."""
    from bench.tables import TABLES  # what a table needs is imported in its contenders' processes

    return next(each for each in TABLES[table].contenders if each.name == contender)


def _prove(pipe: Connection, table: str, contender: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        pipe.send(await found(table, contender).prove(surroundings))

    failures(pipe, run)


def _measure(pipe: Connection, table: str, contender: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        async with found(table, contender).ready(surroundings) as spend:
            await spend(PROBE)
            gc.collect()
            gc.freeze()
            cost = await spend(PROBE)
            pipe.send(max(PROBE, min(MOST, round(TURN / cost))))
            while operations := await received(pipe):
                gc.collect()
                await spend(operations // 3 + 1)
                pipe.send(await spend(operations))

    failures(pipe, run)
