"""A contender that is an HTTP application, asked in process for one target again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.asking import ASGIApp, InProcess, started
from bench.checks import Check, answers, computed_times, hits
from bench.contender import Fact, NotWorkingError, Spend, Surroundings
from bench.service import BODY, CALLS, PLAIN

__all__ = ["Application"]

CALLER = "203.0.113.9"


@dataclass(frozen=True, slots=True)
class Application:
    """One.

    Attributes:
        name, peers, needs: as every contender's.
        make: makes it; within a running event loop.
        target, accepts, coding, body: what is asked, and what is answered.
        computes: how often the endpoint is entered for a request: 1, or 0 for a hit; None where nobody counts.
        checks: what else it must do.
    """

    name: str
    make: Callable[[Surroundings], ASGIApp]
    peers: tuple[str, ...] = ()
    needs: frozenset[str] = frozenset()
    target: str = PLAIN
    accepts: str = "identity"
    coding: str = ""
    body: bytes = BODY
    computes: int | None = 1
    checks: tuple[Check, ...] = ()

    async def prove(self, surroundings: Surroundings) -> Sequence[Fact]:
        """The answer, whether it is computed, and what else it must do; what compression saved."""
        app = self.make(surroundings)
        async with started(app):
            asker = InProcess(app)
            if self.computes == 0:
                await hits(asker, self)
            for check in (answers, *self.checks):
                await check(asker, self)
            if self.computes == 1 and await computed_times(asker, self, 3) != 3:
                raise NotWorkingError("answered without being computed")
            if not self.coding:
                return ()
            answer = await asker.get(self.target, accepts=self.accepts)
            return (("bytes saved", 100 - 100 * len(answer.body) / len(self.body), "%"),)

    @asynccontextmanager
    async def ready(self, surroundings: Surroundings) -> AsyncIterator[Spend]:
        """Started, and warm; each round is counted where anything counts."""
        app = self.make(surroundings)
        async with started(app):
            asker = InProcess(app)
            if self.computes == 0:
                await hits(asker, self)

            async def computed() -> int:
                return 0 if self.computes is None else int((await asker.get(CALLS)).json())

            async def spend(requests: int) -> float:
                before = await computed()
                took = await asker.spend(self.target, self.accepts, CALLER, requests)
                times = await computed() - before
                if times != requests * (self.computes or 0):
                    raise NotWorkingError(f"computed {times} times at {requests} requests")
                return took

            yield spend
