"""A bound on how many calls are under way, with a bounded and timed queue. Touches: the event loop.

First come, first served: a slot that becomes free goes straight to the caller that has waited longest, so that nobody
who arrives later can overtake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tailrace.clock import Clock
from tailrace.errors import BulkheadFullError, UpstreamTimeoutError
from tailrace.events import BulkheadRefused, Observer
from tailrace.resilience.timeout import with_timeout

__all__ = ["Bulkhead"]

T = TypeVar("T")


class Bulkhead:
    """Slots for calls to one dependency.

    Args:
        name: the dependency, as it appears in events and messages.
        concurrency: most calls under way.
        queue: most callers waiting for a slot; 0: a full bulkhead refuses at once.
        queue_timeout: longest wait for a slot, in seconds; None: as long as the caller stays.
    """

    def __init__(
        self,
        name: str,
        *,
        concurrency: int,
        queue: int,
        queue_timeout: float | None,
        clock: Clock,
        observer: Observer | None = None,
    ) -> None:
        self._name = name
        self._concurrency = concurrency
        self._queue = queue
        self._queue_timeout = queue_timeout
        self._clock = clock
        self._observer = observer
        self._in_use = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def in_use(self) -> int:
        """Calls under way."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """Callers waiting for a slot."""
        return len(self._waiting)

    async def call(self, work: Callable[[], Awaitable[T]], *, wait: float | None = None) -> T:
        """Await ``work()`` in a slot.

        Args:
            wait: most seconds this caller has to wait for the slot, if that is less than ``queue_timeout``.

        Raises:
            BulkheadFullError: the queue is full, or no slot became free in time.
        """
        await self.enter(wait=wait)
        try:
            return await work()
        finally:
            self.leave()

    async def enter(self, *, wait: float | None = None) -> None:
        """Take a slot, for what is not a single await; ``leave`` gives it back.

        Args and errors: as ``call``.
        """
        if self._in_use < self._concurrency:
            self._in_use += 1
        else:
            await self._queue_up(wait)

    def leave(self) -> None:
        """Give a slot back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the slot changes hands; the number in use stays
                return
        self._in_use -= 1

    async def _queue_up(self, wait: float | None) -> None:
        """Return once a slot has been handed over."""
        if len(self._waiting) >= self._queue:
            raise self._refused("too many calls under way and waiting")
        if self._queue_timeout is not None:
            wait = self._queue_timeout if wait is None else min(wait, self._queue_timeout)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await with_timeout(lambda: turn, wait, clock=self._clock, what=self._name)
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # the slot was handed over at the moment the caller left: it goes to the next one
            elif turn in self._waiting:  # else a release has already passed over it
                self._waiting.remove(turn)
            if isinstance(error, UpstreamTimeoutError):
                raise self._refused("no call ended in time to make room") from error
            raise

    def _refused(self, why: str) -> BulkheadFullError:
        if self._observer is not None:
            self._observer(BulkheadRefused(self._name))
        return BulkheadFullError(f"{self._name}: {why}")
