"""Recording and alert rules for Prometheus, made from the catalogue. Pure.

What is promised of requests (how many succeed, how many are quick) is watched by the rate at which what may go wrong is
used up, over a long and a short window together: the long one says that it matters, the short one that it goes on.

**Source:** B. Beyer and others, "The Site Reliability Workbook", chapter 5, "Alerting on SLOs" (windows and factors);
Prometheus documentation, "Recording rules" (names: level, metric, operation).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from tailrace.observe.catalogue import METRICS
from tailrace.observe.promql import quantile, rate, ratio, select

__all__ = ["Objectives", "Rule", "rules_file", "rules_of"]

BURN_RATES = (("1h", "5m", 14.4, "page"), ("6h", "30m", 6.0, "page"), ("3d", "6h", 1.0, "ticket"))
"""Long window, short window, how many times the rate that would use up everything in 30 days, what to do."""

WINDOWS = ("5m", "30m", "1h", "6h", "3d")

JOBS_LATE = 300.0
"""Seconds for which a job that is due may wait."""

REQUESTS = "http.server.request.duration"
LOOKUPS = "tailrace.cache.lookup.duration"
POOL = "db.client.connection.count"


Alert: TypeAlias = tuple[str, str, str, str, str]
"""Name, query, summary, for how long it must hold, severity."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """What is promised.

    Args:
        success: share of requests that do not fail by the server's fault (5xx).
        latency: seconds within which a request is quick; one of the request histogram's bounds.
        quick: share of requests that are.
        hits: least share of look-ups that the cache answers.
        fresh: most seconds for which what others wrote may not be known.

    Raises:
        ValueError: a share is none, or the latency is no bound of the histogram.
    """

    success: float = 0.999
    latency: float = 0.5
    quick: float = 0.99
    hits: float = 0.5
    fresh: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < share < 1 for share in (self.success, self.quick, self.hits)):
            raise ValueError("a share is a number between 0 and 1")
        if self.latency not in METRICS[REQUESTS].bounds:
            raise ValueError(f"latency is one of {', '.join(f'{bound:g}' for bound in METRICS[REQUESTS].bounds)}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it records, or which alert it gives.

    Args:
        lasting: for how long it must hold before the alert is given.
        severity: ``page`` where somebody has to act at once, else ``ticket``.
    """

    name: str
    query: str
    summary: str = ""
    lasting: str = ""
    severity: str = ""
    labels: dict[str, str] = field(default_factory=dict)


def rules_of(objectives: Objectives | None = None) -> dict[str, list[Rule]]:
    """All rules, by the group that is evaluated in order."""
    objectives = objectives or Objectives()
    return {
        "tailrace-records": [*_shares(objectives), *_records()],
        "tailrace-objectives": list(_burning(objectives)),
        "tailrace-parts": list(_parts(objectives)),
    }


def rules_file(objectives: Objectives | None = None) -> str:
    """The file that Prometheus reads."""
    lines = ["# Made by `tailrace metrics rules`; changes here are overwritten.", "groups:"]
    for group, rules in rules_of(objectives).items():
        lines += [f"  - name: {group}", "    rules:"]
        for rule in rules:
            # JSON's strings are YAML's.
            lines += [f"      - {'alert' if rule.severity else 'record'}: {rule.name}"]
            lines += [f"        expr: {json.dumps(rule.query)}"]
            lines += [f"        for: {rule.lasting}"] if rule.lasting else []
            if rule.severity:
                labels = {**rule.labels, "severity": rule.severity}
                lines += ["        labels:", *[f"          {name}: {text}" for name, text in labels.items()]]
                lines += ["        annotations:", f"          summary: {json.dumps(rule.summary)}"]
    return "\n".join(lines) + "\n"


def _shares(objectives: Objectives) -> Iterator[Rule]:
    """Of all requests of a job, those that failed and those that were slow, over each window."""
    failed = select(REQUESTS, "_count", http__response__status_code='=~"5.."')
    quick = select(REQUESTS, "_bucket", le=f'="{objectives.latency:g}"')
    for window in WINDOWS:
        everything = rate(select(REQUESTS, "_count"), window, ["job"])
        yield Rule(f"job:http_errors:ratio_rate{window}", ratio(rate(failed, window, ["job"]), everything))
        yield Rule(f"job:http_slow:ratio_rate{window}", f"1 - {rate(quick, window, ['job'])} / ({everything} > 0)")


def _records() -> Iterator[Rule]:
    """What dashboards show of every service."""
    yield Rule("job:http_requests:rate5m", rate(select(REQUESTS, "_count"), "5m", ["job"]))
    buckets = select(REQUESTS, "_bucket")
    yield Rule("job_route:http_request_duration:p95_5m", quantile(0.95, buckets, "5m", ["job", "http.route"]))
    hits = rate(select(LOOKUPS, "_count", status='=~"hit|stale"'), "5m", ["job", "cache"])
    lookups = rate(select(LOOKUPS, "_count"), "5m", ["job", "cache"])
    yield Rule("job_cache:cache_hits:ratio_rate5m", ratio(hits, lookups))
    used = select(POOL, db__client__connection__state='="used"')
    pool = "job, instance, db_client_connection_pool_name"
    yield Rule(
        "job_instance_pool:db_connections:used_ratio",
        f"sum by ({pool}) ({used}) / (sum by ({pool}) ({select('db.client.connection.max')}) > 0)",
    )


def _burning(objectives: Objectives) -> Iterator[Rule]:
    for name, record, promised, what in (
        ("ErrorsBurn", "job:http_errors:ratio_rate", objectives.success, "requests fail"),
        ("LatencyBurn", "job:http_slow:ratio_rate", objectives.quick, f"requests take over {objectives.latency:g} s"),
    ):
        for long, short, factor, severity in BURN_RATES:
            most = f"{factor * (1 - promised):.6g}"
            yield Rule(
                f"Tailrace{name}",
                f"{record}{long} > {most} and {record}{short} > {most}",
                "{{ $labels.job }}: {{ $value | humanizePercentage }} of "
                + f"{what}, {factor:g} times what is allowed",
                severity=severity,
                labels={"window": long},
            )


def _parts(objectives: Objectives) -> Iterator[Rule]:
    """What is wrong with a part, whether requests show it already or not."""
    for name, query, summary, lasting, severity in (*_of_process(), *_of_data(), *_of_jobs(), *_of_caches(objectives)):
        yield Rule(f"Tailrace{name}", query, "{{ $labels.job }}: " + summary, lasting, severity)


def _of_process() -> tuple[Alert, ...]:
    breakers = select("tailrace.upstream.circuit.state", state='="open"')
    opened = f"sum by (job, dependency) ({breakers}) > 0"
    late = quantile(0.99, select("tailrace.event_loop.lag", "_bucket"), "5m", ["job"]) + " > 0.1"
    shed = _any("tailrace.shedding.refusals")
    return (
        ("Down", "up == 0", "{{ $labels.instance }} cannot be asked", "1m", "page"),
        ("CircuitOpen", opened, "{{ $labels.dependency }} is not called, as it fails", "1m", "ticket"),
        ("RequestsShed", shed, "requests are refused unserved", "2m", "ticket"),
        ("EventLoopLate", late, "the event loop wakes {{ $value }} s late", "5m", "ticket"),
    )


def _of_data() -> tuple[Alert, ...]:
    full = "job_instance_pool:db_connections:used_ratio > 0.9"
    in_vain = _any("db.client.connection.timeouts")
    leaked = _any("tailrace.db.connection.findings", kind='="leaked"')
    deep = select("tailrace.freshness.outbox.depth") + " > 10000"
    left_out = select("tailrace.replica.usable") + " == 0"
    return (
        ("PoolFull", full, "the pool is nearly full", "5m", "ticket"),
        ("PoolTimeouts", in_vain, "no connection was free in time", "1m", "page"),
        ("ConnectionsLeaked", leaked, "connections are not given back", "0m", "ticket"),
        ("OutboxDeep", deep, "the relay does not keep up", "5m", "ticket"),
        ("ReplicaLeftOut", left_out, "{{ $labels.replica }} is not read", "5m", "ticket"),
    )


def _of_jobs() -> tuple[Alert, ...]:
    dead = select("tailrace.job.dead") + " > 0"
    late = select("tailrace.job.oldest.age") + f" > {JOBS_LATE:g}"
    return (
        ("JobsDead", dead, "{{ $value }} of {{ $labels.job_name }} failed for the last time", "0m", "ticket"),
        ("JobsLate", late, "{{ $labels.job_name }} is due for {{ $value }} s and not begun", "5m", "ticket"),
    )


def _of_caches(objectives: Objectives) -> tuple[Alert, ...]:
    few = f"job_cache:cache_hits:ratio_rate5m < {objectives.hits:g}"
    cut_off = select("tailrace.store.connected") + " == 0"
    behind = select("tailrace.freshness.horizon.age") + f" > {objectives.fresh:g}"
    differs = _any("tailrace.query_cache.audits", outcome='="different"')
    misled = _any("tailrace.semantic.comparisons", how='="audited"', outcome='="wrong"')
    return (
        ("CacheHitsLow", few, "{{ $labels.cache }} answers {{ $value | humanizePercentage }}", "15m", "ticket"),
        ("StoreDown", cut_off, "{{ $labels.store }} is cut off", "1m", "page"),
        ("RelayBehind", behind, "news of writes comes {{ $value }} s late", "1m", "page"),
        ("QueryCacheWrong", differs, "a result of the query cache was not the database's", "0m", "page"),
        ("SemanticAnswersWrong", misled, "questions got answers to others", "0m", "ticket"),
    )


def _any(name: str, **matchers: str) -> str:
    """Whether a counter has grown in the last minutes, its first increase included, before which it is not there."""
    counter = select(name, **matchers)
    grown = f"sum by (job) (increase({counter}[5m])) > 0"
    return f"{grown} or sum by (job) ({counter} unless {counter} offset 5m) > 0"
