"""Prometheus text exposition of the registry. Pure.

Every series carries ``worker``, the process it comes from. Each worker process answers with its own figures, so behind
one port a scrape meets any of them; with the label each worker's counters only ever grow, and ``sum without (worker)``
is right over them. Without it the same series would jump between processes and every rate would be wrong.

**Source:** Prometheus exposition formats, text format 0.0.4; OpenTelemetry "Prometheus and OpenMetrics compatibility"
(names: dots to underscores, unit suffix, ``_total`` for counters).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate
from math import inf, isnan

from tailrace.observe.catalogue import Metric
from tailrace.observe.family import Family

__all__ = ["CONTENT_TYPE", "exposition", "prometheus_name"]

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


def exposition(families: Iterable[Family], *, worker: str) -> str:
    """All series, families without any left out."""
    lines: list[str] = []
    for family in families:
        if family.series:
            name = prometheus_name(family.metric)
            lines.append(f"# HELP {name} {_escape_help(family.metric.description)}")
            lines.append(f"# TYPE {name} {family.metric.kind}")
            for labels, values in family.series.items():
                lines += _samples(name, family, _labels(family.metric, labels, worker), values)
    return "\n".join(lines) + "\n"


def _samples(name: str, family: Family, labels: str, values: list[float]) -> Iterable[str]:
    if family.metric.kind != "histogram":
        return [f"{name}{{{labels}}} {_number(values[0])}"]
    counts = list(accumulate(values[1:]))
    lines = [
        f'{name}_bucket{{{labels},le="{_number(bound)}"}} {_number(count)}'
        for bound, count in zip((*family.bounds, inf), counts, strict=True)
    ]
    return [*lines, f"{name}_sum{{{labels}}} {_number(values[0])}", f"{name}_count{{{labels}}} {_number(counts[-1])}"]


def _labels(metric: Metric, values: tuple[object, ...], worker: str) -> str:
    pairs = [f'worker="{worker.translate(_ESCAPES)}"']
    for name, value in zip(metric.labels, values, strict=True):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        pairs.append(f'{name.replace(".", "_")}="{text.translate(_ESCAPES)}"')
    return ",".join(pairs)


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
