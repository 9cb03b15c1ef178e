"""One process computes while the others wait. Touches: a shared store, the clock.

A lease is a key that holds its owner's name and expires by itself, so a process that dies delays the others by the
lease's length at most. It saves work; it decides nothing about correctness, which the stamps alone do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from tailrace.clock import Clock
from tailrace.errors import StoreUnavailableError
from tailrace.stores import Store

__all__ = ["Leases", "Outcome"]

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05

Outcome = Literal["stored", "unshared", "nothing"]
"""Others have something to use; it failed, or is not to be shared; it was given up, and somebody else has to begin."""

OPEN = b"open"
OPEN_SECONDS = 1.0
"""For how long nobody waits for a computation that gave nothing to wait for."""
DONE = b"done"
DONE_SECONDS = 1.0
"""For how long a lease says that what it was for is stored: who looked into the store before that, and asks for the
lease after it, would compute once more."""


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
        waits for a computation that has just turned out to give nothing that can be shared (``OPEN``), and what has
        just been stored (``DONE``) is looked at. After a lease's length without any of it, the caller must compute
        whatever others do: it has a client to answer. Whatever ends the call, the lease may have been taken.

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
            if holder != DONE:
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            if await stored():
                return
            if holder == DONE:  # it has ended since, and somebody has to compute it again
                await self._store.release(key, DONE)

    async def end(self, key: str, owner: bytes, outcome: Outcome) -> None:
        """Say what came of what ``owner`` had the lease for. If the store is out of reach it expires by itself."""
        with suppress(StoreUnavailableError):
            if outcome == "nothing":
                await self._store.release(key, owner)
            elif outcome == "stored":
                await self._store.set({key: DONE}, DONE_SECONDS)
            else:
                await self._store.set({key: OPEN}, OPEN_SECONDS)
