"""Prometheus text exposition. Pure.

**Source:** Prometheus exposition formats, text format 0.0.4; OpenTelemetry "Prometheus and OpenMetrics compatibility"
(names: dots to underscores, unit suffix, ``_total`` for counters).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import inf, isnan

from tailrace.observe.catalogue import Metric
from tailrace.observe.merging import Part, merge

__all__ = ["CONTENT_TYPE", "exposition", "prometheus_label", "prometheus_name"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SUFFIXES = {"s": "_seconds", "By": "_bytes"}
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def prometheus_name(metric: Metric) -> str:
    """The metric's name in Prometheus.

    >>> from tailrace.observe.catalogue import METRICS
    >>> prometheus_name(METRICS["http.server.request.duration"])
    'http_server_request_duration_seconds'
    """
    name = metric.name.replace(".", "_")
    suffix = _SUFFIXES.get(metric.unit, "")
    if not name.endswith(suffix):
        name += suffix
    return name + "_total" if metric.kind == "counter" else name


def prometheus_label(name: str) -> str:
    """A label's name in Prometheus.

    >>> prometheus_label("http.route")
    'http_route'
    """
    return name.replace(".", "_")


def exposition(parts: Iterable[Part]) -> str:
    """All series of all parts together, metrics without any left out."""
    lines: list[str] = []
    for merged in merge(parts):
        metric, name = merged.metric, prometheus_name(merged.metric)
        names = [prometheus_label(label) for label in merged.labels]
        lines.append(f"# HELP {name} {_escape_help(metric.description)}")
        lines.append(f"# TYPE {name} {metric.kind}")
        for values, series in merged.series.items():
            pairs = [f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(names, values, strict=True)]
            lines += _samples(name, metric, ",".join(pairs), series)
    return "\n".join(lines) + "\n"


def _samples(name: str, metric: Metric, labels: str, values: Sequence[float]) -> list[str]:
    braced = f"{{{labels}}}" if labels else ""
    if metric.kind != "histogram":
        return [f"{name}{braced} {_number(values[0])}"]
    counts = list(accumulate(values[1:]))
    before = labels + "," if labels else ""
    lines = [
        f'{name}_bucket{{{before}le="{_number(bound)}"}} {_number(count)}'
        for bound, count in zip((*metric.bounds, inf), counts, strict=True)
    ]
    return [*lines, f"{name}_sum{braced} {_number(values[0])}", f"{name}_count{braced} {_number(counts[-1])}"]


def _number(value: float) -> str:
    if value == inf:
        return "+Inf"
    if value == -inf:
        return "-Inf"
    if isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
