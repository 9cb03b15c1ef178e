"""What a metric is. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FAST", "LONG", "SLOW", "Metric"]

FAST = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bucket bounds in seconds for what takes micro- to milliseconds."""

SLOW = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds in seconds for requests, statements and calls."""

LONG = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""Bucket bounds in seconds for what may stay open for hours."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: OpenTelemetry name.
        kind: counter, gauge or histogram.
        unit: UCUM: ``s``, ``By``, or ``{thing}`` for counts.
        description: one sentence for people.
        labels: attribute names, in the order in which values are given.
        bounds: upper bucket bounds of a histogram.
        across: what a gauge of several processes is together: their sum, the most or the least of them, or ``each`` by
            itself, told apart by the label ``worker``. Counters and histograms are always summed.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = SLOW
    across: Literal["sum", "max", "min", "each"] = "sum"
