"""How many requests to work on at once, learned from how long the event loop keeps a ready callback waiting. Pure.

Latency says little about load where one user has fifty times the rows of another; the time that something ready waits
for its turn says it exactly, whatever the requests are about. A delay above the target in several samples on end is a
standing queue, not a burst, and more work at once only makes it longer: the limit falls in proportion. Work that could
not be begun while the delay was small is room left unused: the limit rises by the square root of itself. Failures for
want of a resource (a dry pool, a statement that timed out) say the same as a standing queue, before the loop feels it.

The loop may also be busy with what is not limited, above all with answers from the cache. Fewer requests at once would
then shorten nothing and starve those that wait. So a limit that has halved without the delay becoming shorter goes back
to what it was, and stays there for a while.

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
IN_VAIN = 0.8
"""A fall to half that leaves more than this of the delay was in vain."""
CONTENT = 100
"""Samples for which the limit does not fall after a fall in vain."""


class ConcurrencyLimit:
    """A limit that follows what the process can do.

    Args:
        initial, minimum, maximum: requests at once.
        target: seconds that a ready callback may wait.
    """

    __slots__ = ("_above", "_before", "_content", "_limit", "_maximum", "_minimum", "_smallest", "_target")

    def __init__(self, *, initial: int, minimum: int, maximum: int, target: float) -> None:
        self._minimum, self._maximum, self._target = minimum, maximum, target
        self._limit = float(min(max(initial, minimum), maximum))
        self._above = 0
        self._smallest = 0.0
        self._before: tuple[float, float] | None = None
        """Limit and delay when it began to fall."""
        self._content = 0

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
        else:
            self._above = 0
            self._before = None
        self._content = max(0, self._content - 1)
        if self._above >= STANDING:
            self._above = 0
            if not self._content:
                self._answer(self._smallest)
                return
        if failures:
            self._before = None
            self._fall(GENTLEST)
        elif wanted and delay <= self._target:
            self._limit = min(self._limit + sqrt(self._limit), float(self._maximum))

    def _answer(self, delay: float) -> None:
        """Lower the limit, unless that has just been seen to be in vain."""
        if self._before is None:
            self._before = (self._limit, delay)
        limit, longer = self._before
        if self._limit > limit / 2:
            self._fall(self._target / delay)
        elif delay > IN_VAIN * longer:
            self._limit, self._before, self._content = limit, None, CONTENT
        else:
            self._before = (self._limit, delay)
            self._fall(self._target / delay)

    def _fall(self, factor: float) -> None:
        self._limit = max(self._limit * min(max(factor, HARDEST), GENTLEST), float(self._minimum))
