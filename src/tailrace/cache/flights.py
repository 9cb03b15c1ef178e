"""Who computes: one for all who ask for the same at the same time. Touches: the clock, background tasks.

What is the same is said by a name: the key, and the stamps that the answer will be kept under. What may be served is
decided before, in ``read_through``; how an answer is computed and kept, after, in ``fill``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from tailrace.cache.consistency import current_reads
from tailrace.cache.entry import Entry
from tailrace.cache.fill import Asked, Compute, Filling
from tailrace.cache.in_place import InPlace
from tailrace.cache.policy import Answer, CachePolicy, Uncacheable
from tailrace.cache.singleflight import SingleFlight
from tailrace.clock import Clock
from tailrace.events import CacheFillRefused, Observer

__all__ = ["Flights"]


class Flights:
    """Computations under way.

    Args:
        filling: computes and keeps.
        clock: time.
        observer: receives refreshes that failed.
    """

    def __init__(self, filling: Filling, *, clock: Clock, observer: Observer | None) -> None:
        self._filling = filling
        self._clock = clock
        self._observer = observer
        self._shared: SingleFlight[Answer] = SingleFlight()
        self._in_place: InPlace[Answer] = InPlace()
        self._refreshing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._shared) + len(self._in_place)

    async def join(self, request: Asked, stamps: bytes) -> Answer:
        """Fly, or join the flight that has the same key and the same stamps.

        Raises:
            Whatever the computation raises.
        """
        fly = partial(self._filling.fill, request, stamps, background=False)
        answer, leader = await self._shared.join((request.entry_key, stamps), fly)
        if leader or answer.status != "miss":
            return answer
        if not answer.shareable:
            return await self._filling.apart(request, stamps)
        return replace(answer, status="collapsed")

    async def join_in_place(self, request: Asked, stamps: bytes) -> Answer | None:
        """The same for a computation that runs in the caller's own task.

        Returns:
            None if somebody else's failed or is not to be shared.

        Raises:
            Whatever the caller's own computation raises.
        """
        fly = partial(self._filling.fill, request, stamps, background=False)
        answer, computed = await self._in_place.join((request.entry_key, stamps), fly)
        if computed or answer is None:
            return answer
        return replace(answer, status="collapsed") if answer.shareable else None

    async def bypass(self, key: str, compute: Compute, policy: CachePolicy, *, alone: bool) -> Answer:
        """Compute without the cache. Only one computation of a key runs at a time, begun after its callers came.

        Args:
            alone: what this caller sees is nobody else's to see.

        Raises:
            Whatever ``compute`` raises.
        """

        async def run() -> Answer:
            created_at = self._clock.now()
            result, _ = await self._filling.timed(compute, policy, background=False)
            if isinstance(result, bytes):
                return Answer(result, "bypass", created_at, 0.0, 0.0)
            shareable = not isinstance(result, Uncacheable) or result.shareable
            return Answer(result.value, "bypass", created_at, 0.0, 0.0, shareable)

        if alone:
            return await run()
        answer, leader = await self._shared.next(("bypass", key), run)
        return answer if leader or answer.shareable else await run()

    def refresh(self, request: Asked, entry: Entry) -> None:
        """Compute anew in the background what has been served."""
        task = asyncio.create_task(self._refresh(request, entry))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _refresh(self, request: Asked, entry: Entry) -> None:
        async def fly() -> Answer:
            # The request that saw the entry grow old has gone on; what it may read must not rule this.
            current_reads.set(None)
            return await self._filling.fill(request, entry.stamps, background=True)

        try:
            await self._shared.join((request.entry_key, entry.stamps, "refresh"), fly)
        except Exception:  # the entry was served; the next caller tries again
            if self._observer is not None:
                self._observer(CacheFillRefused(request.policy.name, "error"))

    async def aclose(self) -> None:
        """End the refreshes; give back the leases they hold."""
        for task in tuple(self._refreshing):
            task.cancel()
        await asyncio.gather(*self._refreshing, return_exceptions=True)
        await self._filling.aclose()
