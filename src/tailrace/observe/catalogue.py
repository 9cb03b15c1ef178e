"""The catalogue: every metric, by its OpenTelemetry name. Pure data.

Dashboards, alerts and documentation are made from it, so a metric that is not here does not exist. Names that
OpenTelemetry has are used as they are; Tailrace's own begin with ``tailrace.``. Label values come from code (route
templates, policy names, dependencies) and never from input; a family that grows past its bound anyway collects the
rest under ``other``.

**Source:** OpenTelemetry semantic conventions 1.34 for HTTP, database clients and processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CATALOGUE", "FAST", "LONG", "METRICS", "SLOW", "Metric"]

FAST = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Bucket bounds in seconds for what takes micro- to milliseconds."""

SLOW = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bucket bounds in seconds for requests, statements and calls."""

LONG = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""Bucket bounds in seconds for what may stay open for hours."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: OpenTelemetry name.
        kind: counter, gauge or histogram.
        unit: UCUM: ``s``, ``By``, or ``{thing}`` for counts.
        description: one sentence for people.
        labels: attribute names, in the order in which values are given.
        bounds: upper bucket bounds of a histogram.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = SLOW


CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "http.server.request.duration",
        "histogram",
        "s",
        "Time from a request's arrival to the last byte of its response; status 499: the client left first.",
        ("http.request.method", "http.route", "http.response.status_code"),
    ),
    Metric("http.server.response.body.bytes", "counter", "By", "Bytes of response bodies sent.", ("http.route",)),
    Metric("tailrace.compression.responses", "counter", "{response}", "Responses compressed.", ("encoding",)),
    Metric("tailrace.compression.original.bytes", "counter", "By", "Bytes of those before they were.", ("encoding",)),
    Metric("tailrace.compression.encoded.bytes", "counter", "By", "Bytes of those afterwards.", ("encoding",)),
    Metric(
        "tailrace.response_cache.requests",
        "counter",
        "{request}",
        "Requests to cached routes, by what the response cache did.",
        ("http.route", "status"),
    ),
    Metric(
        "tailrace.versioning.deprecated.requests",
        "counter",
        "{request}",
        "Requests to versions and paths that are going away.",
        ("deprecated", "http.route"),
    ),
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
    Metric("tailrace.shedding.limit", "gauge", "{request}", "Requests that may be worked on at once, just now."),
    Metric("tailrace.shedding.admitted", "gauge", "{request}", "Requests that are worked on."),
    Metric("tailrace.shedding.waiting", "gauge", "{request}", "Requests that wait for their turn."),
    Metric(
        "tailrace.shedding.wait_time",
        "histogram",
        "s",
        "Time for which requests that had to wait for their turn did.",
    ),
    Metric("tailrace.shedding.refusals", "counter", "{request}", "Requests refused unserved.", ("reason",)),
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
    Metric("tailrace.rollups.differences.folded", "counter", "{difference}", "Differences added to their rollups.", ()),
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
    ),
    Metric("tailrace.freshness.outbox.depth", "gauge", "{row}", "Rows that the last relay pass found."),
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
    Metric("tailrace.store.connected", "gauge", "{connection}", "1 while the store is connected.", ("store",)),
    Metric("tailrace.store.entries", "gauge", "{entry}", "Entries in this process's part of the store.", ("store",)),
    Metric("tailrace.store.bytes", "gauge", "By", "Bytes in this process's part of the store.", ("store",)),
    Metric("tailrace.store.evictions", "counter", "{entry}", "Entries removed to make room.", ("store",)),
    Metric(
        "tailrace.limit.decisions",
        "counter",
        "{decision}",
        "Rate limits asked, by outcome and by who decided; share, open and closed: the store was down.",
        ("limit", "outcome", "decided_by"),
    ),
    Metric(
        "tailrace.limit.state.losses",
        "counter",
        "{loss}",
        "Times that the store of the limits had lost its contents; buckets count as empty from then on.",
        ("store",),
    ),
    Metric("tailrace.limit.buckets", "gauge", "{bucket}", "Callers for whom this process keeps something."),
    Metric("tailrace.limit.evictions", "counter", "{bucket}", "Buckets in use that were removed to make room."),
    Metric(
        "db.client.connection.wait_time",
        "histogram",
        "s",
        "Time to obtain a connection from the pool.",
        ("db.client.connection.pool.name",),
        FAST,
    ),
    Metric(
        "db.client.connection.use_time",
        "histogram",
        "s",
        "Time between taking a connection and giving it back.",
        ("db.client.connection.pool.name",),
    ),
    Metric(
        "db.client.connection.count",
        "gauge",
        "{connection}",
        "Connections of the pool, by state.",
        ("db.client.connection.pool.name", "db.client.connection.state"),
    ),
    Metric(
        "db.client.connection.max",
        "gauge",
        "{connection}",
        "Most connections the pool opens.",
        ("db.client.connection.pool.name",),
    ),
    Metric(
        "db.client.connection.pending_requests",
        "gauge",
        "{request}",
        "Callers that wait for a connection.",
        ("db.client.connection.pool.name",),
    ),
    Metric(
        "db.client.connection.timeouts",
        "counter",
        "{timeout}",
        "Callers that waited for a connection in vain.",
        ("db.client.connection.pool.name",),
    ),
    Metric(
        "tailrace.db.connection.findings",
        "counter",
        "{connection}",
        "Connections held when they should not be: leaked, long, or while another service was called.",
        ("db.client.connection.pool.name", "kind", "site"),
    ),
    Metric(
        "db.client.operation.duration",
        "histogram",
        "s",
        "Time of one statement.",
        ("db.client.connection.pool.name", "db.operation.name", "error"),
    ),
    Metric(
        "tailrace.db.transaction.retries",
        "counter",
        "{retry}",
        "Transactions tried again after a passing failure.",
        ("db.client.connection.pool.name", "reason"),
    ),
    Metric(
        "tailrace.replica.lag",
        "gauge",
        "s",
        "How long ago the newest moment lies whose commits the replica shows; +Inf: none is known.",
        ("replica",),
    ),
    Metric("tailrace.replica.usable", "gauge", "{replica}", "1 while the replica is read from.", ("replica",)),
    Metric(
        "tailrace.query_cache.refusals",
        "counter",
        "{statement}",
        "Statements that asked for the query cache and ran past it.",
        ("cache", "reason"),
    ),
    Metric(
        "tailrace.query_cache.audits",
        "counter",
        "{result}",
        "Results of the query cache compared with the database's; different: a defect.",
        ("cache", "outcome"),
    ),
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
        "1 for the state the circuit breaker is in.",
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
    Metric(
        "tailrace.event_loop.lag",
        "histogram",
        "s",
        "By how much the event loop woke a timer too late.",
        (),
        FAST,
    ),
    Metric("process.resident_memory", "gauge", "By", "Resident memory of the process."),
    Metric("process.open_fds", "gauge", "{descriptor}", "Open file descriptors of the process."),
    Metric("process.cpu", "counter", "s", "Processor time used by the process."),
    Metric("process.start_time", "gauge", "s", "When the process started, seconds since 1970."),
)
"""Every metric there is."""

METRICS = {metric.name: metric for metric in CATALOGUE}
"""The catalogue by name."""
