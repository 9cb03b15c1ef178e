"""The catalogue: every metric, by its OpenTelemetry name. Pure data.

Dashboards, alerts and documentation are made from it, so a metric that is not here does not exist. Names that
OpenTelemetry has are used as they are; Tailrace's own begin with ``tailrace.``, and those of the process are the ones
that every Prometheus client has. Label values come from code (route templates, policy names, dependencies) and never
from input; a family that grows past its bound anyway collects the rest under ``other``.

**Source:** OpenTelemetry semantic conventions 1.34 for HTTP and database clients; Prometheus client guidelines,
"Process metrics".
"""

from __future__ import annotations

from tailrace.observe.catalogue.answers import ANSWERS
from tailrace.observe.catalogue.caches import CACHES
from tailrace.observe.catalogue.database import DATABASE
from tailrace.observe.catalogue.jobs import JOBS
from tailrace.observe.catalogue.metric import Metric
from tailrace.observe.catalogue.process import PROCESS
from tailrace.observe.catalogue.requests import REQUESTS
from tailrace.observe.catalogue.timeseries import TIMESERIES
from tailrace.observe.catalogue.upstreams import UPSTREAMS

__all__ = ["CATALOGUE", "METRICS", "PARTS", "Metric"]

PARTS = {
    "Requests": REQUESTS,
    "Caches": CACHES,
    "Database": DATABASE,
    "Upstreams": UPSTREAMS,
    "Timeseries": TIMESERIES,
    "Answers": ANSWERS,
    "Jobs": JOBS,
    "Process": PROCESS,
}
"""The metrics of each part, by the part's title; each part has a dashboard."""

CATALOGUE: tuple[Metric, ...] = tuple(metric for part in PARTS.values() for metric in part)
"""Every metric there is."""

METRICS = {metric.name: metric for metric in CATALOGUE}
"""The catalogue by name."""
