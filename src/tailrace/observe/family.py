"""The figures of one metric, by their labels. Pure.

Memory is bounded: at most ``MAX_SERIES`` series, further label values are collected under ``other``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, MutableSequence
from typing import Any, TypeAlias

from tailrace.observe.catalogue import Metric

__all__ = ["MAX_SERIES", "OTHER", "Allocate", "Family", "Series", "shown"]

MAX_SERIES = 1000
"""Most series of one family."""

OTHER = "other"
"""The label of what came when there were as many."""


Series: TypeAlias = MutableSequence[float]
"""Numbers that are counted in: a list, or a part of memory that processes share. Its length never changes."""

Allocate: TypeAlias = Callable[[tuple[str, ...], int], Series]
"""Makes a series of that many zeros for label values as they are shown."""


class Family:
    """All series of one metric.

    A counter's or gauge's series is one number; a histogram's is its sum, then the count of each bucket, the last one
    for what is above every bound.
    """

    __slots__ = ("_allocate", "bounds", "metric", "series")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.bounds = metric.bounds
        self.series: dict[tuple[Any, ...], Series] = {}
        self._allocate: Allocate | None = None

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

    def of(self, labels: tuple[Any, ...]) -> Series:
        """The series itself, for those who record into the same one again and again."""
        return self.series.get(labels) or self._new(labels)

    def move(self, allocate: Allocate) -> None:
        """Keep all series where ``allocate`` makes them; those that :meth:`of` gave before are no longer shown."""
        self._allocate = allocate
        for labels, series in self.series.items():
            moved = self.series[labels] = allocate(shown(labels), len(series))
            for index in range(len(series)):
                moved[index] = series[index]

    def _new(self, labels: tuple[Any, ...]) -> Series:
        if len(self.series) >= MAX_SERIES:
            labels = tuple([OTHER] * len(labels))
        known = self.series.get(labels)
        if known is None:
            size = len(self.bounds) + 2 if self.metric.kind == "histogram" else 1
            known = [0.0] * size if self._allocate is None else self._allocate(shown(labels), size)
            self.series[labels] = known
        return known


def shown(labels: tuple[Any, ...]) -> tuple[str, ...]:
    """Label values as they are shown.

    >>> shown(("GET", 200, True))
    ('GET', '200', 'true')
    """
    return tuple([str(value).lower() if isinstance(value, bool) else str(value) for value in labels])
