"""Entries that have expired without anybody coming by. Touches: the clock it is given, the event loop's turns."""

from __future__ import annotations

from tailrace.clock import Clock
from tailrace.stores.bounded_map import BoundedMap

__all__ = ["STEP", "count_expired"]

STEP = 1000
"""Entries examined before others get their turn."""


async def count_expired(held: BoundedMap, clock: Clock, *, remove: bool) -> int:
    """How many entries of ``held`` have expired; with ``remove`` they are let go."""
    now, found = clock.monotonic(), 0
    for position, entry in enumerate(list(held.entries.values()), start=1):
        if entry.deadline <= now and held.entries.get(entry.key) is entry:
            found += 1
            if remove:
                held.remove(entry.key)
        if position % STEP == 0:
            await clock.sleep(0)
    return found
