"""Event streams, and the semantic caches behind them. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import LONG, Metric

__all__ = ["ANSWERS"]

ANSWERS: tuple[Metric, ...] = (
    Metric("tailrace.stream.open", "gauge", "{stream}", "Event streams that are being sent."),
    Metric("tailrace.stream.duration", "histogram", "s", "Time that event streams were open.", ("outcome",), LONG),
    Metric("tailrace.stream.first_event", "histogram", "s", "Time until the first event of a stream was sent."),
    Metric("tailrace.stream.events", "counter", "{event}", "Events sent by streams that have ended."),
    Metric(
        "tailrace.stream.resumptions",
        "counter",
        "{stream}",
        "Streams asked for again by clients that were cut off, by what became of it.",
        ("outcome",),
    ),
    Metric("tailrace.semantic.requests", "counter", "{question}", "Questions answered.", ("cache", "outcome")),
    Metric(
        "tailrace.semantic.similarity",
        "histogram",
        "1",
        "Cosine of questions and the similar ones whose answers they got.",
        ("cache",),
        (0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99),
    ),
    Metric("tailrace.semantic.vetoes", "counter", "{answer}", "Close answers not served.", ("cache", "reason")),
    Metric(
        "tailrace.semantic.comparisons",
        "counter",
        "{answer}",
        "Kept answers compared with fresh ones; wrong ones that were audited or rejected had been served.",
        ("cache", "how", "outcome"),
    ),
)
