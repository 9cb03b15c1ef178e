"""Caches, what keeps them fresh, and the stores behind them. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import FAST, Metric

__all__ = ["CACHES"]

CACHES: tuple[Metric, ...] = (
    Metric(
        "tailrace.response_cache.requests",
        "counter",
        "{request}",
        "Requests to cached routes, by what the response cache did.",
        ("http.route", "status"),
    ),
    Metric(
        "tailrace.cache.lookup.duration",
        "histogram",
        "s",
        "Time to get an answer through the cache, computing it included.",
        ("cache", "status"),
        FAST,
    ),
    Metric(
        "tailrace.cache.compute.duration",
        "histogram",
        "s",
        "Time to compute a value for the cache.",
        ("cache", "background"),
    ),
    Metric("tailrace.cache.computed.bytes", "counter", "By", "Bytes of values computed.", ("cache",)),
    Metric(
        "tailrace.cache.fills.refused",
        "counter",
        "{fill}",
        "Computed values that were not kept.",
        ("cache", "reason"),
    ),
    Metric(
        "tailrace.cache.bypasses",
        "counter",
        "{lookup}",
        "Look-ups that went past the cache.",
        ("cache", "reason"),
    ),
    Metric("tailrace.freshness.tags.bumped", "counter", "{tag}", "Stamps written anew.", ("source",)),
    Metric(
        "tailrace.freshness.bump.duration",
        "histogram",
        "s",
        "Time to write new stamps.",
        ("source",),
        FAST,
    ),
    Metric(
        "tailrace.freshness.fence.duration",
        "histogram",
        "s",
        "Time for which a client that had written made its process catch up first.",
        (),
        FAST,
    ),
    Metric(
        "tailrace.freshness.horizon.age",
        "gauge",
        "s",
        "How long ago the newest moment lies up to which every commit is known.",
        across="max",
    ),
    Metric("tailrace.freshness.outbox.depth", "gauge", "{row}", "Rows that the last relay pass found.", across="max"),
    Metric(
        "tailrace.freshness.epoch.changes",
        "counter",
        "{change}",
        "Times that the store or the database turned out to be another one than before.",
        ("part",),
    ),
    Metric(
        "tailrace.store.operation.duration",
        "histogram",
        "s",
        "Time of one round trip to a store.",
        ("store", "operation", "error"),
        FAST,
    ),
    Metric(
        "tailrace.store.connected",
        "gauge",
        "{connection}",
        "1 while the store is connected, in every process.",
        ("store",),
        across="min",
    ),
    Metric("tailrace.store.entries", "gauge", "{entry}", "Entries in the processes' parts of the store.", ("store",)),
    Metric("tailrace.store.bytes", "gauge", "By", "Bytes in the processes' parts of the store.", ("store",)),
    Metric("tailrace.store.evictions", "counter", "{entry}", "Entries removed to make room.", ("store",)),
)
