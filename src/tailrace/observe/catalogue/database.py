"""Connections, statements, replicas, rollups and the query cache. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import FAST, Metric

__all__ = ["DATABASE"]

DATABASE: tuple[Metric, ...] = (
    Metric("tailrace.rollups.differences.folded", "counter", "{difference}", "Differences added to their rollups.", ()),
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
        across="max",
    ),
    Metric(
        "tailrace.replica.usable",
        "gauge",
        "{replica}",
        "1 while every process reads from the replica.",
        ("replica",),
        across="min",
    ),
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
)
