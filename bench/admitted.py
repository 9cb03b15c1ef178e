"""How many are admitted of a limit that four processes share: 50 tasks in each ask 20 times, 100 a minute are allowed.

Each limiter of ``bench.limits`` has its turn; the processes begin together. A limiter that lets units flow in anew
(GCRA) owes one more for each whole 0.6 s that the asking took, which is why that is shown.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from multiprocessing.connection import Connection

from bench import Measurement
from bench.arena import PROVE_TIMEOUT, failures, received, seated, told
from bench.contender import Surroundings
from bench.limits import TABLES, Decision

__all__ = ["CONTENDERS", "measure"]

PROCESSES = 4
TASKS = 50
EACH = 20
ALLOWED = 100

CONTENDERS: dict[str, Decision] = {
    f"{decision.name}, {'on Valkey' if decision.waits else 'in memory'}": decision
    for table in TABLES
    for decision in table.contenders
    if isinstance(decision, Decision) and decision.admits is not None
}


def measure(name: str, surroundings: Surroundings) -> list[Measurement]:
    """One limiter's turn.

    Raises:
        NotWorkingError: one of its processes failed.
    """
    shared = Surroundings(ALLOWED, "minute", surroundings.valkey_url)
    with ExitStack() as stack:
        pipes = [stack.enter_context(seated(_ask, name, shared)) for _ in range(PROCESSES)]
        for pipe in pipes:
            told(pipe, name, PROVE_TIMEOUT)  # it is connected
        for pipe in pipes:
            pipe.send("begin")
        answers = [told(pipe, name, PROVE_TIMEOUT) for pipe in pipes]
    admitted = sum(count for count, _, _ in answers)
    took = max(ended for _, _, ended in answers) - min(began for _, began, _ in answers)
    return [
        Measurement("admitted", name, f"admitted, {ALLOWED} allowed", admitted, "", None),
        Measurement("admitted", name, "time", took, "s", None),
    ]


def _ask(pipe: Connection, name: str, surroundings: Surroundings) -> None:
    async def run() -> None:
        contender = CONTENDERS[name]
        admits: Callable[[object], bool] = contender.admits or bool
        admitted = 0
        async with AsyncExitStack() as stack:
            decide = await contender.make(surroundings, stack)

            async def task() -> None:
                nonlocal admitted
                for _ in range(EACH):
                    answer = decide()
                    allowed = admits(await answer if contender.waits else answer)
                    admitted += allowed  # in a line of its own: others count while this one awaits

            pipe.send(True)
            await received(pipe)
            began = time.monotonic()
            await asyncio.gather(*(task() for _ in range(TASKS)))
            pipe.send((admitted, began, time.monotonic()))

    failures(pipe, run)
