"""Buckets by caller, bounded in number, of which none is ever forgotten to its caller's advantage. Pure.

A bucket that is full again says nothing that an absent one does not, so it is removed by the patrol: each caller that
is new has ``PATROL`` of those looked at that nobody looked at for longest. There is no timer and no sweep, so no pause,
and the buckets of callers that never come back leave as others come.

When there are ``most`` buckets and all are in use, the one with the least backlog among the next ``SAMPLE`` goes, and
its caller starts anew. Who floods the table with invented callers pushes those out, a unit in each; busy callers keep
theirs, and stay refused as long as they deserve. Holding what was pushed out against everybody who comes new would keep
even that unit, but let an attack on the table refuse honest newcomers.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Buckets"]

PATROL = 2
"""Buckets looked at for each new caller."""
SAMPLE = 8
"""Buckets of which one goes when there are too many."""


class Buckets:
    """When each caller's bucket will be full again (microseconds).

    Readers on the hot path look into ``arrivals`` themselves, take ``floor`` for who is not there, and write to those
    who are; ``add`` is for the others.

    Args:
        most: bound of their number.
    """

    __slots__ = ("_most", "_queue", "arrivals", "evictions")

    def __init__(self, most: int) -> None:
        self._most = max(most, SAMPLE)
        self.arrivals: dict[str, int] = {}
        self._queue: deque[str] = deque()  # each caller once, who was looked at longest ago first
        self.evictions = 0
        """Buckets that left while in use."""

    def add(self, caller: str, arrival: int, now: int) -> None:
        """Keep the bucket of a caller that has none. Cost: O(1)."""
        arrivals, queue = self.arrivals, self._queue
        for _ in range(min(PATROL, len(queue))):
            oldest = queue.popleft()
            if arrivals[oldest] > now:
                queue.append(oldest)
            else:
                del arrivals[oldest]
        if len(arrivals) >= self._most:
            self._evict()
        arrivals[caller] = arrival
        queue.append(caller)

    def _evict(self) -> None:
        sample = [self._queue.popleft() for _ in range(SAMPLE)]
        least = min(sample, key=self.arrivals.__getitem__)
        self.evictions += 1
        del self.arrivals[least]
        self._queue.extend(caller for caller in sample if caller != least)
