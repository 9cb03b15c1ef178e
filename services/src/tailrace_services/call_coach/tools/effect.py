"""How much two groups differ in a figure. Pure.

**Source:** Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin 114
(1993): how often a value of the one group is higher than one of the other, less how often it is lower. Romano et al.,
"Appropriate statistics for ordinal level data" (2006), for when that is negligible, small, medium or large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

__all__ = ["Magnitude", "cliffs_delta", "magnitude"]

Magnitude = Literal["negligible", "small", "medium", "large"]
_BOUNDS: tuple[tuple[float, Magnitude], ...] = ((0.147, "negligible"), (0.33, "small"), (0.474, "medium"))


def cliffs_delta(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """From -1, all of ``ours`` are lower, to 1, all are higher; both have one value at least.

    >>> cliffs_delta([1, 2], [2, 3])
    -0.75
    """
    higher = sum((one > other) - (one < other) for one in ours for other in theirs)
    return higher / (len(ours) * len(theirs))


def magnitude(delta: float) -> Magnitude:
    """The word for a delta.

    >>> magnitude(-0.4)
    'medium'
    """
    return next((word for bound, word in _BOUNDS if abs(delta) < bound), "large")
