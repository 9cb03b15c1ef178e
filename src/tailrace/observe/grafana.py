"""Dashboards for Grafana, made from the catalogue: one of everything, and one of each part with all its metrics. Pure.

**Source:** Grafana documentation, "Dashboard JSON model".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tailrace.observe.catalogue import PARTS, Metric
from tailrace.observe.prometheus import prometheus_label
from tailrace.observe.promql import quantile, rate, select

__all__ = ["Panel", "dashboards"]

JOB = '=~"$job"'
WINDOW = "$__rate_interval"
WIDTH, HEIGHT, COLUMNS = 12, 8, 24
"""Of a panel, and of the page, in Grafana's units."""

UNITS = {"s": "s", "By": "bytes", "1": "none"}
COUNT_UNITS = {"s": "none", "By": "Bps"}
"""Units of what is counted each second; seconds each second are a share of one."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over time.

    Args:
        unit: Grafana's name of it.
        queries: each with the legend of its curves.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard's document, by the name of its file."""
    pages = {"Overview": _overview()}
    pages |= {title: [panel for metric in part for panel in _panels_of(metric)] for title, part in PARTS.items()}
    return {f"tailrace-{title.lower()}.json": _dashboard(title, panels) for title, panels in pages.items()}


def _overview() -> list[Panel]:
    """What to look at first: recorded by the rules, so that it is there at once for any time."""

    def recorded(title: str, description: str, unit: str, record: str, legend: str) -> Panel:
        return Panel(title, description, unit, ((f"{record}{{job{JOB}}}", legend),))

    alerts = f'ALERTS{{alertstate="firing",job{JOB}}}'
    lag = quantile(0.99, select("tailrace.event_loop.lag", "_bucket", job=JOB), WINDOW, ["job"])
    horizon = select("tailrace.freshness.horizon.age", job=JOB)
    connected = select("tailrace.store.connected", job=JOB)
    return [
        recorded("Requests", "Requests a second.", "reqps", "job:http_requests:rate5m", "{{job}}"),
        recorded("Errors", "Share of answers 5xx.", "percentunit", "job:http_errors:ratio_rate5m", "{{job}}"),
        recorded("Slow", "Share of requests not quick.", "percentunit", "job:http_slow:ratio_rate5m", "{{job}}"),
        recorded(
            "p95 by route",
            "Time within which 95 of 100 requests were answered.",
            "s",
            "job_route:http_request_duration:p95_5m",
            "{{job}} {{http_route}}",
        ),
        recorded(
            "Hits",
            "Share of look-ups that the cache answered, by policy.",
            "percentunit",
            "job_cache:cache_hits:ratio_rate5m",
            "{{job}} {{cache}}",
        ),
        recorded(
            "Pools",
            "Share of the connections that a pool may open that are in use.",
            "percentunit",
            "job_instance_pool:db_connections:used_ratio",
            "{{job}} {{db_client_connection_pool_name}}",
        ),
        Panel("Freshness", "How late news of others' writes comes.", "s", ((horizon, "{{job}}"),)),
        Panel("Event loop", "p99 of how late it wakes.", "s", ((lag, "{{job}}"),)),
        Panel("Store", "1 while every process is connected.", "none", ((connected, "{{job}} {{store}}"),)),
        Panel("Alerts", "Those that are given.", "none", ((alerts, "{{job}} {{alertname}}"),)),
    ]


def _panels_of(metric: Metric) -> Iterable[Panel]:
    title = metric.name.removeprefix("tailrace.").replace(".", " ").replace("_", " ")
    legend = " ".join(["{{job}}", *(f"{{{{{prometheus_label(label)}}}}}" for label in metric.labels)])
    if metric.kind == "gauge":
        worker = " {{worker}}" if metric.across == "each" else ""
        gauge = (select(metric.name, job=JOB), legend + worker)
        yield Panel(title, metric.description, UNITS.get(metric.unit, "short"), (gauge,))
        return
    suffix = "_count" if metric.kind == "histogram" else ""
    counted = rate(select(metric.name, suffix, job=JOB), WINDOW, ["job", *metric.labels])
    if metric.kind == "counter":
        unit = COUNT_UNITS.get(metric.unit, "cps")
        yield Panel(f"{title} each second", metric.description, unit, ((counted, legend),))
        return
    buckets = select(metric.name, "_bucket", job=JOB)
    # All labels at once are too many curves; the first two say who and what.
    labels = ["job", *metric.labels[:2]]
    short = " ".join(f"{{{{{prometheus_label(label)}}}}}" for label in labels)
    shares = tuple(
        (quantile(share, buckets, WINDOW, labels), f"{short} p{round(share * 100)}") for share in (0.5, 0.95, 0.99)
    )
    yield Panel(title, metric.description, UNITS.get(metric.unit, "short"), shares)
    yield Panel(f"{title}: how many each second", metric.description, "cps", ((counted, legend),))


def _dashboard(title: str, panels: Iterable[Panel]) -> dict[str, Any]:
    return {
        "uid": f"tailrace-{title.lower()}",
        "title": f"Tailrace: {title}",
        "tags": ["tailrace"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["tailrace"], "title": "Tailrace", "asDropdown": True}],
        "templating": {"list": [_data_source(), _job()]},
        "annotations": {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _job() -> dict[str, Any]:
    query = f"label_values({select('http.server.request.duration', '_count')}, job)"
    return {
        "name": "job",
        "label": "Service",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": "job"},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    in_row = COLUMNS // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": source,
        "gridPos": {"x": number % in_row * WIDTH, "y": number // in_row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": {"showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": source, "expr": query, "legendFormat": legend}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }
