"""The figures of one metric, by their labels. Pure.

Memory is bounded: at most ``MAX_SERIES`` series, further label values are collected under ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from tailrace.observe.catalogue import Metric

__all__ = ["MAX_SERIES", "OTHER", "Family"]

MAX_SERIES = 1000
"""Most series of one family."""

OTHER = "other"
"""The label of what came when there were as many."""


class Family:
    """All series of one metric.

    A counter's or gauge's series is a list of one number; a histogram's is its sum, then the count of each bucket, the
    last one for what is above every bound.
    """

    __slots__ = ("bounds", "metric", "series")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.bounds = metric.bounds
        self.series: dict[tuple[Any, ...], list[float]] = {}

    def add(self, labels: tuple[Any, ...], amount: float = 1) -> None:
        """Count."""
        (self.series.get(labels) or self._new(labels))[0] += amount

    def set(self, labels: tuple[Any, ...], value: float) -> None:
        """Set a gauge."""
        (self.series.get(labels) or self._new(labels))[0] = value

    def observe(self, labels: tuple[Any, ...], value: float) -> None:
        """Record one value of a histogram."""
        series = self.series.get(labels) or self._new(labels)
        series[0] += value
        series[bisect_left(self.bounds, value) + 1] += 1

    def of(self, labels: tuple[Any, ...]) -> list[float]:
        """The series itself, for those who record into the same one again and again."""
        return self.series.get(labels) or self._new(labels)

    def _new(self, labels: tuple[Any, ...]) -> list[float]:
        if len(self.series) >= MAX_SERIES:
            labels = tuple([OTHER] * len(labels))
        size = len(self.bounds) + 2 if self.metric.kind == "histogram" else 1
        return self.series.setdefault(labels, [0.0] * size)
