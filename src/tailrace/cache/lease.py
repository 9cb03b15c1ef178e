"""One process computes while the others wait. Touches: a shared store, the clock.

A lease is a key that holds its owner's name and expires by itself, so a process that dies delays the others by the
lease's length at most. It saves work; it decides nothing about correctness, which the stamps alone do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tailrace.clock import Clock
from tailrace.stores import Store

__all__ = ["Leases"]

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05

OPEN = b"open"
OPEN_SECONDS = 1.0
"""For how long nobody waits for a computation that gave nothing to wait for."""


class Leases:
    """Takes, awaits and gives back leases.

    Args:
        seconds: for how long a lease holds.
    """

    __slots__ = ("_clock", "_seconds", "_store")

    def __init__(self, store: Store, clock: Clock, *, seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._seconds = seconds

    async def take_or_wait(self, key: str, owner: bytes, stored: Callable[[], Awaitable[bool]]) -> None:
        """Become ``owner`` of ``key``, or wait until its owner has stored an entry.

        Returns when this caller must compute, or as soon as ``stored`` says that there is something to use. Nobody
        waits for a computation that has just turned out to give nothing that can be shared (``open``). After a lease's
        length without either, the caller must compute whatever others do: it has a client to answer. Whatever ends the
        call, the lease may have been taken.

        Args:
            owner: a name nobody else uses.
            stored: looks into the store.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        give_up = self._clock.monotonic() + self._seconds
        pause = FIRST_PAUSE
        while True:
            holder = (await self._store.add({key: owner}, self._seconds))[0]
            if holder in (owner, OPEN) or self._clock.monotonic() >= give_up:
                return
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            if await stored():
                return

    async def give_back(self, key: str, owner: bytes) -> None:
        """End the lease if it is still this owner's."""
        await self._store.release(key, owner)

    async def open(self, key: str) -> None:
        """Let everyone compute at once for a while: what the owner computed failed, or is not to be shared."""
        await self._store.set({key: OPEN}, OPEN_SECONDS)
