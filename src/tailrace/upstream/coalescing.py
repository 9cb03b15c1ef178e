"""Identical calls made at the same time share one. Touches: the event loop.

The shared call lives as long as anyone waits for it: when the last one leaves, it is cancelled. A caller with much more
time than the call under way has left does not join it, because it would inherit a timeout that is not its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Coalescing"]

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    deadline: float
    waiting: int = 0


class Coalescing(Generic[T]):
    """Calls under way, by what makes them identical."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    @property
    def under_way(self) -> int:
        """Shared calls not yet ended."""
        return len(self._flights)

    def flying(self, key: Hashable) -> bool:
        """True if a call under ``key`` is under way."""
        return key in self._flights

    async def call(self, key: Hashable, work: Callable[[], Awaitable[T]], *, deadline: float, until: float) -> T:
        """Await the call under ``key``, or begin it by ``work()``.

        Args:
            deadline: monotonic seconds at which ``work`` gives up by itself.
            until: monotonic seconds; a call under way that gives up before this is not joined.
        """
        flight = self._flights.get(key)
        if flight is not None and flight.deadline < until:
            return await work()
        if flight is None:
            flight = self._begin(key, work, deadline)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    async def aclose(self) -> None:
        """Cancel what is under way and wait until it has ended."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: Hashable, work: Callable[[], Awaitable[T]], deadline: float) -> _Flight[T]:
        async def fly() -> T:
            return await work()

        flight = _Flight(asyncio.create_task(fly()), deadline)
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._landed(key, flight, task))
        return flight

    def _landed(self, key: Hashable, flight: _Flight[T], task: asyncio.Task[T]) -> None:
        self._forget(key, flight)
        if not task.cancelled():
            task.exception()  # looked at, so that a failure nobody waited for is not reported as forgotten

    def _forget(self, key: Hashable, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
