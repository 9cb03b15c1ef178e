"""Time series: what comes in, and what becomes of their partitions. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import LONG, Metric

__all__ = ["TIMESERIES"]

TIMESERIES: tuple[Metric, ...] = (
    Metric("tailrace.series.rows", "counter", "{row}", "Rows that were to come in.", ("series", "outcome")),
    Metric("tailrace.series.ingestion.duration", "histogram", "s", "Time of one ingestion.", ("series",), LONG),
    Metric(
        "tailrace.series.partitions",
        "counter",
        "{partition}",
        "Partitions made ahead, shrunken when old, dropped when too old.",
        ("series", "action"),
    ),
    Metric("tailrace.series.saved.bytes", "counter", "By", "Bytes that came free by shrinking.", ("series",)),
    Metric("tailrace.series.maintenance.duration", "histogram", "s", "Time of one maintenance.", ("series",), LONG),
)
