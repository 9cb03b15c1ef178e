"""Requests as clients see them: how long they take, how much is sent, what is refused. Pure data."""

from __future__ import annotations

from tailrace.observe.catalogue.metric import Metric

__all__ = ["REQUESTS"]

REQUESTS: tuple[Metric, ...] = (
    Metric(
        "http.server.request.duration",
        "histogram",
        "s",
        "Time from a request's arrival to the last byte of its response; status 499: the client left first.",
        ("http.request.method", "http.route", "http.response.status_code"),
    ),
    Metric("tailrace.http.response.bytes", "counter", "By", "Bytes of response bodies sent.", ("http.route",)),
    Metric("tailrace.compression.responses", "counter", "{response}", "Responses compressed.", ("encoding",)),
    Metric("tailrace.compression.original.bytes", "counter", "By", "Bytes of those before they were.", ("encoding",)),
    Metric("tailrace.compression.encoded.bytes", "counter", "By", "Bytes of those afterwards.", ("encoding",)),
    Metric(
        "tailrace.versioning.deprecated.requests",
        "counter",
        "{request}",
        "Requests to versions and paths that are going away.",
        ("deprecated", "http.route"),
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
    Metric("tailrace.limit.buckets", "gauge", "{bucket}", "Callers for whom the processes keep something."),
    Metric("tailrace.limit.evictions", "counter", "{bucket}", "Buckets in use that were removed to make room."),
)
