"""Of all processes on one store, one asks the origin for a cold target while the others wait. Touches: the store, the
clock, background tasks that give leases back.

It saves work and decides nothing about correctness: who has waited as long as a lease holds asks for itself, and so
does everyone as soon as it turns out that the response is not stored.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from tailrace.asgi.http_cache.forwarding import FlightEnd
from tailrace.asgi.http_cache.shelf import Found
from tailrace.cache import Cache
from tailrace.cache.lease import Leases, Outcome
from tailrace.clock import Clock
from tailrace.errors import StoreUnavailableError

__all__ = ["Leading"]

OUTCOMES: Mapping[FlightEnd, Outcome] = {"stored": "stored", "passed": "unshared", "lost": "nothing", "slow": "nothing"}


class Leading:
    """Leases on targets.

    Args:
        cache: whose store the processes share; alone in its store, a process always leads.
    """

    def __init__(self, cache: Cache, clock: Clock) -> None:
        self._shared = cache.store.shared
        self._leases = Leases(cache.store, clock, seconds=cache.settings.lease)
        self._ending: set[asyncio.Task[None]] = set()

    async def lead_or_wait(
        self, found: Found, flight: asyncio.Future[FlightEnd], stored: Callable[[], Awaitable[bool]]
    ) -> None:
        """Return when this process is to ask the origin, or when ``stored`` says that another one has.

        Args:
            flight: this process's for the target; what becomes of it is what becomes of the lease.
        """
        if not self._shared:
            return
        key, owner = f"{found.prefix}l:{found.stamps.target.hex()}", os.urandom(12)

        def end(done: asyncio.Future[FlightEnd]) -> None:
            outcome = "nothing" if done.cancelled() else OUTCOMES[done.result()]
            task = asyncio.create_task(self._leases.end(key, owner, outcome))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

        flight.add_done_callback(end)
        with suppress(StoreUnavailableError):  # then everyone asks for themselves
            await self._leases.take_or_wait(key, owner, stored)

    async def drain(self) -> None:
        """Wait until every lease has been given back."""
        await asyncio.sleep(0)  # what a flight has just ended begins to be given back in the loop's next turn
        await asyncio.gather(*self._ending, return_exceptions=True)
