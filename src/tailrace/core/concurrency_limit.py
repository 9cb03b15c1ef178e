"""How many requests to work on at once, learned from how long the event loop keeps a ready callback waiting. Pure.

Latency says little about load where one user has fifty times the rows of another; the time that something ready waits
for its turn says it exactly, whatever the requests are about. A delay above the target in several samples on end is a
standing queue, not a burst, and more work at once only makes it longer: the limit falls in proportion. Work that could
not be begun while the delay was small is room left unused: the limit rises by the square root of itself. Failures for
want of a resource (a dry pool, a statement that timed out) say the same as a standing queue, before the loop feels it.

**Source:** Nichols and Jacobson, "Controlling Queue Delay" (2012), for the standing queue; Chiu and Jain (1989) for
additive increase with multiplicative decrease; Netflix's concurrency-limits for the square root.
"""

from __future__ import annotations

from math import sqrt

__all__ = ["ConcurrencyLimit"]

STANDING = 3
"""Samples on end above the target that make a standing queue."""
GENTLEST = 0.95
HARDEST = 0.7
"""What the limit is multiplied by when it falls, at most and at least."""


class ConcurrencyLimit:
    """A limit that follows what the process can do.

    Args:
        initial, minimum, maximum: requests at once.
        target: seconds that a ready callback may wait.
    """

    __slots__ = ("_above", "_limit", "_maximum", "_minimum", "_smallest", "_target")

    def __init__(self, *, initial: int, minimum: int, maximum: int, target: float) -> None:
        self._minimum, self._maximum, self._target = minimum, maximum, target
        self._limit = float(min(max(initial, minimum), maximum))
        self._above = 0
        self._smallest = 0.0

    @property
    def value(self) -> int:
        """Requests at once, at least 1."""
        return int(self._limit)

    def sample(self, delay: float, *, wanted: bool, failures: int) -> None:
        """Take one look at the process into account.

        Args:
            delay: seconds for which a ready callback waited just now.
            wanted: whether the limit kept anybody waiting since the last sample.
            failures: requests since the last sample that failed for want of a resource.
        """
        if delay > self._target:
            self._smallest = delay if not self._above else min(delay, self._smallest)
            self._above += 1
            if self._above >= STANDING:
                self._above = 0
                self._fall(self._target / self._smallest)
                return
        else:
            self._above = 0
        if failures:
            self._fall(GENTLEST)
        elif wanted and not self._above:
            self._limit = min(self._limit + sqrt(self._limit), float(self._maximum))

    def _fall(self, factor: float) -> None:
        self._limit = max(self._limit * min(max(factor, HARDEST), GENTLEST), float(self._minimum))
