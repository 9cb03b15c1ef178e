"""Where one figure stands among many. Pure.

**Source:** Crocker and Algina, "Introduction to Classical and Modern Test Theory" (1986), for the percentile rank: the
share below, and half of those equal, oneself among them. Hyndman and Fan, "Sample quantiles in statistical packages",
The American Statistician 50 (1996), definition 7, for quartiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles

__all__ = ["percentile_rank", "upper_quartile"]


def percentile_rank(own: float, others: Sequence[float]) -> float | None:
    """Percentile rank of ``own`` among itself and ``others``, 0..100; None if there are no others.

    >>> percentile_rank(70, [50, 60, 70, 90])
    60.0
    """
    if not others:
        return None
    below = sum(other < own for other in others)
    equal = 1 + sum(other == own for other in others)
    return 100 * (below + 0.5 * equal) / (len(others) + 1)


def upper_quartile(values: Sequence[float]) -> float:
    """What a quarter of the ``values``, of which there is one at least, reach or surpass.

    >>> upper_quartile([10, 20, 30, 40, 50])
    40.0
    """
    return float(quantiles(values, n=4, method="inclusive")[2]) if len(values) > 1 else float(values[0])
