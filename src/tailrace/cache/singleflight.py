"""One computation at a time for a key, shared by all who ask. Touches: asyncio tasks.

Two ways to share, by what the caller may accept:

``join``  a result of a computation that was already under way, right when the key names all it depends on;
``next``  only of one that begins after the call: callers that arrive during a flight share the one after it. Slower by
          up to one computation, and right without knowing anything, so it serves while the cache cannot be trusted.

**Source:** Go's ``x/sync/singleflight`` for the idea.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

T = TypeVar("T")
Compute = Callable[[], Awaitable[T]]


class _Flight(Generic[T]):
    """A computation in a task of its own, with the number of callers that still wait for it."""

    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiters = 0

    async def wait(self) -> T:
        """The result. The last caller to be cancelled takes the computation with it; the others never do."""
        self.waiters += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self.waiters -= 1
            if not self.waiters and not self.task.done():
                self.task.cancel()


class SingleFlight(Generic[T]):
    """Shares computations within one event loop. Memory: what is under way."""

    __slots__ = ("_flights", "_queued")

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}
        self._queued: dict[Hashable, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: Hashable, compute: Compute[T]) -> tuple[T, bool]:
        """The result and whether this caller began the computation."""
        flight = self._flights.get(key)
        if flight is not None and not flight.task.cancelling():
            return await flight.wait(), False
        flight = self._take_off(self._flights, key, compute)
        return await flight.wait(), True

    async def next(self, key: Hashable, compute: Compute[T]) -> tuple[T, bool]:
        """The result of a computation that begins no earlier than this call, and whether this caller began it."""
        queued = self._queued.get(key)
        if queued is not None and not queued.task.cancelling():
            return await queued.wait(), False
        current = self._flights.get(key)
        if current is None:
            return await self._take_off(self._flights, key, compute).wait(), True

        async def after_current() -> T:
            await asyncio.wait([current.task])
            # From here on the computation is under way: whoever comes now must not share it.
            self._flights[key] = self._queued.pop(key)
            return await compute()

        return await self._take_off(self._queued, key, after_current).wait(), True

    def _take_off(self, where: dict[Hashable, _Flight[T]], key: Hashable, compute: Compute[T]) -> _Flight[T]:
        async def run() -> T:
            return await compute()

        flight = _Flight(asyncio.create_task(run(), name=f"flight {key!r:.80}"))
        where[key] = flight
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    def _land(self, key: Hashable, flight: _Flight[T]) -> None:
        for flights in (self._flights, self._queued):
            if flights.get(key) is flight:
                del flights[key]
        if not flight.task.cancelled() and not flight.waiters:
            flight.task.exception()  # whoever waited has left: the failure is nobody's, and retrieved
