"""A mergeable histogram of durations with bounded relative error. Pure.

Bucket ``i`` holds values in ``(base**(i-1), base**i]`` above the floor, with ``base = (1 + e) / (1 - e)``, so that the
middle of a bucket is within the share ``e`` of every value in it. Two histograms are merged by adding their counts,
which is exact: the merged quantiles are those of all values together.

**Source:** Masson, Rim and Lee, "DDSketch" (VLDB 2019), with a fixed range of indexes in place of collapsing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, log

__all__ = ["DurationHistogram"]

RELATIVE_ERROR = 0.02
"""A quantile is at most this share off (2 %)."""

FLOOR = 1e-6
"""Seconds; what is shorter counts as this."""

CEILING = 3600.0
"""Seconds; what is longer counts as this."""

_BASE = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_SCALE = 1.0 / log(_BASE)
_LAST = ceil(log(CEILING / FLOOR) * _SCALE)


class DurationHistogram:
    """Counts of durations. Memory: one list of about 550 integers, whatever is recorded.

    >>> h = DurationHistogram()
    >>> for milliseconds in range(1, 101):
    ...     h.record(milliseconds / 1000)
    >>> abs(h.quantile(0.5) - 0.050) <= 0.050 * 0.02
    True
    """

    __slots__ = ("count", "counts", "maximum", "total")

    def __init__(self) -> None:
        self.counts = [0] * (_LAST + 1)
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration (seconds; negative counts as 0). Cost: O(1)."""
        index = 0
        if seconds > FLOOR:
            index = min(_LAST, ceil(log(seconds / FLOOR) * _SCALE))
            self.total += seconds
            if seconds > self.maximum:
                self.maximum = seconds
        self.counts[index] += 1
        self.count += 1

    def record_all(self, durations: Sequence[float]) -> None:
        """Count several durations, for less than one call each."""
        counts = self.counts
        for seconds in durations:
            index = ceil(log(seconds / FLOOR) * _SCALE) if seconds > FLOOR else 0
            counts[min(_LAST, index)] += 1
        if durations:
            self.count += len(durations)
            self.total += sum(seconds for seconds in durations if seconds > FLOOR)
            longest = max(durations)
            if longest > FLOOR:
                self.maximum = max(self.maximum, longest)

    def quantile(self, share: float) -> float:
        """The duration (seconds) that ``share`` (0..1) of all are at most; 0.0 when nothing was recorded.

        Cost: one pass over the buckets.

        Raises:
            ValueError: ``share`` is not within 0..1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a quantile is within 0..1, got {share}")
        if not self.count:
            return 0.0
        rank = max(1, ceil(share * self.count))
        index = next(index for index, seen in enumerate(accumulate(self.counts)) if seen >= rank)
        if index == 0:
            return FLOOR
        if index == _LAST:
            return self.maximum
        return FLOOR * _BASE**index * 2 / (1 + _BASE)

    def merge(self, others: Iterable[DurationHistogram]) -> None:
        """Add what ``others`` recorded."""
        for other in others:
            self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
            self.count += other.count
            self.total += other.total
            self.maximum = max(self.maximum, other.maximum)
