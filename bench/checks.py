"""What a contender must be seen to do before it is timed. Each check raises ``NotWorkingError`` that says what it saw.

Callers have addresses of their own where a check asks often, so that no check uses up what another needs.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address
from typing import Protocol

from bench.asking import Answer
from bench.contender import TIGHT, NotWorkingError
from bench.service import CALLS

__all__ = ["Asked", "Asker", "Check", "answers", "computed_times", "counts", "hits", "identifies", "limits"]

WARM = 10.0
"""Seconds within which an answer must be kept: a cache that follows the database must have looked at it first."""


def _never_seen() -> Iterator[str]:
    """Addresses that nobody had before, not even in another process that asked the same store."""
    for number in itertools.count(os.getpid() % 2**16 * 2**8):  # of the process that asks, not of its parent
        yield str(IPv4Address("10.0.0.1") + number)


_addresses = _never_seen()


class Asker(Protocol):
    """Asks for a target and hands over the whole answer."""

    async def get(self, target: str, *, accepts: str = "identity", caller: str = ...) -> Answer: ...


class Asked(Protocol):
    """What is asked of a contender, and what it answers.

    Attributes:
        target: path.
        accepts: content codings.
        coding: the one that must be answered in; empty for none.
        body: decoded.
    """

    @property
    def target(self) -> str: ...

    @property
    def accepts(self) -> str: ...

    @property
    def coding(self) -> str: ...

    @property
    def body(self) -> bytes: ...


Check = Callable[[Asker, Asked], Awaitable[None]]


async def answers(asker: Asker, asked: Asked) -> None:
    """The right answer, in the coding that was asked for."""
    answer = await _asked_once(asker, asked)
    coding = answer.headers.get("content-encoding", "")
    if coding != asked.coding:
        raise NotWorkingError(f"asked for {asked.accepts}, answered in {coding or 'no coding'}")
    if answer.decoded != asked.body:
        raise NotWorkingError(f"another body: {answer.decoded[:80]!r}")


async def identifies(asker: Asker, asked: Asked) -> None:
    """Each response has an id of its own."""
    ids = [(await _asked_once(asker, asked)).headers.get("x-request-id") for _ in range(2)]
    if None in ids or ids[0] == ids[1]:
        raise NotWorkingError(f"ids {ids}")


def counts(metric: str) -> Check:
    """Makes a check: the samples of ``metric`` that name the route grow by one a request, as ``/metrics`` shows."""

    async def check(asker: Asker, asked: Asked) -> None:
        before = await _sample(asker, metric, asked.target)
        for _ in range(3):
            await _asked_once(asker, asked)
        grown = await _sample(asker, metric, asked.target) - before
        if grown != 3:
            raise NotWorkingError(f"{metric} of {asked.target} grew by {grown:g} at 3 requests")

    return check


async def limits(asker: Asker, asked: Asked) -> None:
    """A caller who is allowed a hundred requests gets a hundred and not one more."""
    caller = next(_addresses)
    for admitted in range(TIGHT + 1):
        status = (await asker.get(asked.target, caller=caller)).status
        if status == 429 and admitted == TIGHT:
            return
        if status != 200:
            raise NotWorkingError(f"answered with {status} after {admitted} of {TIGHT}")
    raise NotWorkingError(f"{TIGHT + 1} requests admitted, {TIGHT} allowed")


async def hits(asker: Asker, asked: Asked) -> None:
    """Once it is kept, asking again computes nothing."""
    try:
        async with asyncio.timeout(WARM):
            while await computed_times(asker, asked, 3):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NotWorkingError(f"still computed after {WARM:g} s") from None


async def computed_times(asker: Asker, asked: Asked, requests: int) -> int:
    """How often the endpoint was entered for so many requests."""
    before = (await asker.get(CALLS, caller=next(_addresses))).json()
    for _ in range(requests):
        await _asked_once(asker, asked)
    times: int = (await asker.get(CALLS, caller=next(_addresses))).json() - before
    return times


async def _asked_once(asker: Asker, asked: Asked) -> Answer:
    answer = await asker.get(asked.target, accepts=asked.accepts, caller=next(_addresses))
    if answer.status != 200:
        raise NotWorkingError(f"answered with {answer.status}: {answer.body[:200]!r}")
    return answer


async def _sample(asker: Asker, metric: str, route: str) -> float:
    answer = await asker.get("/metrics")
    if answer.status != 200:
        raise NotWorkingError(f"/metrics answered with {answer.status}")
    samples = re.findall(rf'^{metric}{{[^}}]*"{re.escape(route)}"[^}}]*}} (\S+)$', answer.body.decode(), re.MULTILINE)
    return sum(float(value) for value in samples)
