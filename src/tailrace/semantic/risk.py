"""Whether an answer to a similar question may be served, so that few are wrong. Pure but for its own memory.

Now and then a question that could have been answered from the cache is computed all the same; the fresh answer says
whether the kept one was right at that similarity. What is asked for is the probability that a kept answer is right, as
a function of the similarity, and all that is assumed of it is that it does not fall as questions get closer. Then what
was seen at or below a similarity says, with a bound for chance, how bad it can be there at most. An answer is served
only where that is no worse than the operator allows.

So nothing is served before enough was compared: some 230 comparisons without a fault for a share of 5 %, 1,400 for 1 %.

**Source:** Chernoff's bound with the relative entropy of Bernoulli trials, inverted; the union bound. To learn what may
be served from questions that are computed although they need not be is vCache's idea (Schroeder et al., 2025); the
estimate is not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque

__all__ = ["WrongAnswers", "is_at_least"]

WINDOWS = tuple(round(16 * 1.25**step) for step in range(26))
"""Numbers of comparisons of which a bound is taken, those just below a similarity; it must hold for all of them."""
LIMIT = WINDOWS[-1]
"""Comparisons remembered, the last ones."""
EXPLORED = 0.03
"""Share of what may be served that is computed nevertheless, so that a world that changes is noticed."""
DOUBT = 0.25
"""Part of the allowed share that is kept for the case that the bound does not hold."""


class WrongAnswers:
    """Bounds the share of wrong answers.

    Args:
        at_most: share of the answers served to similar questions which may be wrong, above 0.

    Raises:
        ValueError: that is no share.
    """

    def __init__(self, at_most: float) -> None:
        if not 0 < at_most < 1:
            raise ValueError(f"a share of wrong answers is above 0 and below 1, not {at_most}")
        self._at_most = at_most
        self._doubt = at_most * DOUBT
        self._seen: deque[tuple[float, int]] = deque()
        # By similarity; of those equally similar the later ones count as closer. What they showed must not order them:
        # the window just below a similarity would hold the right ones of it alone.
        self._sorted: list[tuple[float, int]] = []
        self._right = bytearray()
        self._compared = 0

    def __len__(self) -> int:
        return len(self._seen)

    def compare(self, similarity: float, *, right: bool) -> None:
        """Note whether a kept answer was right for a question that similar. Cost: microseconds."""
        if len(self._seen) == LIMIT:
            oldest = bisect_left(self._sorted, self._seen.popleft())
            del self._sorted[oldest], self._right[oldest]
        self._compared += 1
        comparison = (similarity, self._compared)
        place = bisect_left(self._sorted, comparison)
        self._seen.append(comparison)
        self._sorted.insert(place, comparison)
        self._right.insert(place, right)

    def share(self, similarity: float) -> float:
        """Share of the questions this similar that are to be served: 0, or nearly all.

        Cost: a search and 26 counts.
        """
        end = bisect_left(self._sorted, (similarity, self._compared + 1))
        for size in WINDOWS:
            if size > end:
                break
            right = self._right.count(True, end - size, end)
            if is_at_least(1.0 - self._at_most + self._doubt, right, size, self._doubt / len(WINDOWS)):
                return 1.0 - EXPLORED
        return 0.0


def is_at_least(share: float, right: int, of: int, doubt: float) -> bool:
    """True if ``right`` of ``of`` trials say that the probability of being right is at least ``share``, below 1.

    Args:
        doubt: probability with which they may say so of one that is less.

    >>> is_at_least(0.99, 300, 300, 0.05), is_at_least(0.99, 290, 300, 0.05), is_at_least(0.81, 29, 30, 0.05)
    (True, False, True)
    """
    seen = right / of
    if seen <= share:
        return False
    entropy = seen * math.log(seen / share)
    if seen < 1.0:
        entropy += (1.0 - seen) * math.log((1.0 - seen) / (1.0 - share))
    return of * entropy >= -math.log(doubt)
