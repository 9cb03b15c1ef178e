"""Calls to other services. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import Metric

__all__ = ["UPSTREAMS"]

UPSTREAMS: tuple[Metric, ...] = (
    Metric(
        "tailrace.upstream.call.duration",
        "histogram",
        "s",
        "Time of a call to another service, retries included.",
        ("dependency", "outcome"),
    ),
    Metric(
        "tailrace.upstream.attempts.failed",
        "counter",
        "{attempt}",
        "Attempts that failed, retried or not.",
        ("dependency", "reason"),
    ),
    Metric(
        "tailrace.upstream.circuit.state",
        "gauge",
        "{circuit}",
        "Circuit breakers in that state; each process has one for a dependency.",
        ("dependency", "state"),
    ),
    Metric(
        "tailrace.upstream.bulkhead.refusals",
        "counter",
        "{call}",
        "Calls refused because too many were under way.",
        ("dependency",),
    ),
    Metric(
        "tailrace.upstream.fallbacks",
        "counter",
        "{call}",
        "Calls answered by a fallback.",
        ("dependency", "reason"),
    ),
)
