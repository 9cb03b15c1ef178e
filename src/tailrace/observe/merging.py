"""The figures of several processes as one. Pure.

Counters and histograms are sums over all processes, those that have ended included, so that nothing that was counted
is ever taken back. Gauges are of those that live: summed, the most, the least, or each by itself, as the catalogue
says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tailrace.observe.catalogue import METRICS, Metric

__all__ = ["Figures", "Merged", "Part", "merge"]

Figures: TypeAlias = Mapping[str, Mapping[tuple[str, ...], Sequence[float]]]
"""Series by the metric's name and its label values."""

_TOGETHER: Mapping[str, Callable[[float, float], float]] = {"sum": operator.add, "max": max, "min": min}


@dataclass(frozen=True, slots=True)
class Part:
    """What one process counted.

    Args:
        worker: tells it from the others.
        alive: whether it still runs.
    """

    worker: str
    figures: Figures
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Merged:
    """One metric of all processes; ``labels`` are the names of its label values."""

    metric: Metric
    labels: tuple[str, ...]
    series: dict[tuple[str, ...], list[float]] = field(default_factory=dict)


def merge(parts: Iterable[Part]) -> list[Merged]:
    """All parts together, in the catalogue's order; metrics without a series are left out.

    What a part has that is not in the catalogue, or has another shape there, is of another release and left out.
    """
    merged = {name: _empty(metric) for name, metric in METRICS.items()}
    for part in parts:
        for name, series in part.figures.items():
            if name in merged and (part.alive or merged[name].metric.kind != "gauge"):
                _add(merged[name], part.worker, series)
    return [each for each in merged.values() if each.series]


def _empty(metric: Metric) -> Merged:
    return Merged(metric, ("worker", *metric.labels) if metric.across == "each" else metric.labels)


def _add(merged: Merged, worker: str, series: Mapping[tuple[str, ...], Sequence[float]]) -> None:
    metric = merged.metric
    size = len(metric.bounds) + 2 if metric.kind == "histogram" else 1
    together = _TOGETHER.get(metric.across, operator.add)
    for labels, values in series.items():
        if len(labels) != len(metric.labels) or len(values) != size:
            continue
        key = (worker, *labels) if metric.across == "each" else labels
        known = merged.series.get(key)
        merged.series[key] = list(values if known is None else map(together, known, values))
