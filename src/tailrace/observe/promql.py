"""Queries of metrics, by their names in the catalogue, so that none is asked for that does not exist. Pure.

**Source:** Prometheus documentation, "Querying basics" and "Histograms and summaries".
"""

from __future__ import annotations

from collections.abc import Iterable

from tailrace.observe.catalogue import METRICS
from tailrace.observe.prometheus import prometheus_label, prometheus_name

__all__ = ["quantile", "rate", "ratio", "select"]


def select(name: str, suffix: str = "", **matchers: str) -> str:
    """A metric's series; matchers are label names, dots as two underscores, and PromQL matchers with their operator.

    >>> select("http.server.request.duration", "_count", http__route='="/a"')
    'http_server_request_duration_seconds_count{http_route="/a"}'
    """
    braced = ",".join(prometheus_label(label.replace("__", ".")) + matcher for label, matcher in matchers.items())
    return prometheus_name(METRICS[name]) + suffix + (f"{{{braced}}}" if braced else "")


def rate(selected: str, window: str, by: Iterable[str] = ()) -> str:
    """How much is counted each second, by labels.

    >>> rate("x_total", "5m", ["http.route"])
    'sum by (http_route) (rate(x_total[5m]))'
    """
    return f"sum{_by(by)} (rate({selected}[{window}]))"


def quantile(share: float, buckets: str, window: str, by: Iterable[str] = ()) -> str:
    """A quantile of a histogram, by labels.

    >>> quantile(0.95, "x_bucket", "5m")
    'histogram_quantile(0.95, sum by (le) (rate(x_bucket[5m])))'
    """
    return f"histogram_quantile({share:g}, {rate(buckets, window, ['le', *by])})"


def ratio(part: str, whole: str) -> str:
    """A share that is 0 where there is a whole and no part of it, and no figure where there is nothing.

    >>> ratio("a", "b")
    '(a or 0 * b) / (b > 0)'
    """
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def _by(labels: Iterable[str]) -> str:
    names = ", ".join(prometheus_label(label) for label in labels)
    return f" by ({names})" if names else ""
