"""A clock that stands still until it is told to move. Touches: the event loop, to wake those who sleep on it."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

__all__ = ["FakeClock"]

_TURNS = 50
"""Turns of the event loop given to what a step of the clock has woken, before the next step."""


class FakeClock:
    """A ``Clock`` for tests.

    Args:
        now: wall time at the start, seconds since 1970-01-01 UTC.
        monotonic: monotonic time at the start, seconds.
    """

    def __init__(self, now: float = 1_700_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Wall time, seconds."""
        return self._now

    def monotonic(self) -> float:
        """Monotonic time, seconds."""
        return self._monotonic

    @property
    def sleepers(self) -> int:
        """How many sleep on this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been advanced by ``seconds``; at once (but yielding) for 0 or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    def step(self, seconds: float) -> None:
        """Let ``seconds`` pass without a turn of the event loop: sleepers wake at its next turn."""
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake()
        self._pass(end)

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, moment by moment.

        At each moment at which someone wakes, it and all it sets off run until nothing more happens without time or
        input and output, and only then does time go on. Sleeps begun on the way that end in time are woken too.
        """
        end = self._monotonic + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._wake()
            await self._settle()
        self._pass(end)
        await self._settle()

    def _wake(self) -> None:
        moment, _, future = heapq.heappop(self._sleepers)
        self._pass(max(moment, self._monotonic))
        if not future.done():
            future.set_result(None)

    def _pass(self, moment: float) -> None:
        self._now += moment - self._monotonic
        self._monotonic = moment

    @staticmethod
    async def _settle() -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
