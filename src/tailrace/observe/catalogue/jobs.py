"""Metrics of background jobs. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import LONG, Metric

__all__ = ["JOBS"]

NAME = ("job.name",)
"""Not ``job``: that is what Prometheus calls the service."""

JOBS: tuple[Metric, ...] = (
    Metric("tailrace.job.enqueued", "counter", "{job}", "Jobs enqueued, those rolled back later too.", NAME),
    Metric("tailrace.job.wait_time", "histogram", "s", "Time from when a job was due until it began.", NAME, LONG),
    Metric("tailrace.job.running", "gauge", "{job}", "Jobs that are being done.", NAME),
    Metric(
        "tailrace.job.run.duration",
        "histogram",
        "s",
        "Time of one attempt at a job, by what became of it: done, retried, dead, given_back.",
        ("job.name", "outcome"),
        LONG,
    ),
    Metric("tailrace.job.waiting", "gauge", "{job}", "Jobs that are due and not begun.", NAME, across="max"),
    Metric("tailrace.job.oldest.age", "gauge", "s", "How long the oldest of those is due.", NAME, across="max"),
    Metric("tailrace.job.dead", "gauge", "{job}", "Jobs that failed for the last time.", NAME, across="max"),
)
