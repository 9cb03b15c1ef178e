from __future__ import annotations

import inspect
import os
import re
from dataclasses import fields
from typing import Any, get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from tailrace import events
from tailrace.asgi.instruments import instruments
from tailrace.core.breaker import BreakerPolicy
from tailrace.observe import CATALOGUE, Metrics, exposition, fan_out
from tailrace.observe.family import MAX_SERIES, OTHER
from tailrace.observe.process import measure_process
from tailrace.observe.prometheus import prometheus_name
from tailrace.resilience import CircuitBreaker
from tailrace.testing.clock import FakeClock

SAMPLE = re.compile(
    r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\+Inf|-Inf|NaN|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)'
)
EACH = {"process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"}
"""Of each worker by itself."""
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')


def parse(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """A strict reader of the text format: every line is understood, every sample belongs to the family above it."""
    families: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    described = kind = ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            described = line.split(" ", 3)[2]
            assert described not in {name.removesuffix("_bucket") for name in families}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert (name, kind) == (described, kind)
            assert kind in ("counter", "gauge", "histogram")
        else:
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            name, labels, value = match.groups()
            suffixes = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert name in [described + suffix for suffix in suffixes], line
            pairs = tuple(LABEL.findall(labels or ""))
            assert len({pair[0] for pair in pairs}) == len(pairs)
            assert pairs not in families.setdefault(name, {})
            families[name][pairs] = float(value)
    return families


def event_kinds() -> list[type[events.Event]]:
    found = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]
    return [kind for kind in found if kind is not events.Event]


def example(kind: type[events.Event]) -> events.Event:
    values: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for name in [field.name for field in fields(kind)]:
        hint = str(hints[name])
        values[name] = (
            True
            if "bool" in hint
            else 1
            if "int" in hint
            else 0.5
            if "float" in hint
            else "closed"
            if name == "state"
            else "x"
        )
    return kind(**values)


def test_every_event_is_counted() -> None:
    """No event goes unseen: each kind changes some series."""
    for kind in event_kinds():
        metrics = Metrics()
        metrics(example(kind))
        metrics.settle()
        assert any(family.series for family in metrics.families.values()), kind.__name__


def test_exposition_of_everything_is_well_formed() -> None:
    """All families with all their labels read back from the text format, histograms growing to their count."""
    metrics = Metrics()
    for kind in event_kinds():
        metrics(example(kind))
    metrics.settle()
    metrics.record_store("memory", entries=1, size=2, evictions=3)
    measure_process(metrics)
    families = parse(exposition([metrics.part()]))
    for name, samples in families.items():
        for pairs in samples:
            assert (("worker", str(os.getpid())) in pairs) == (name in EACH)
        if name.endswith("_bucket"):
            base = name.removesuffix("_bucket")
            for pairs, count in families[base + "_count"].items():
                buckets = [v for p, v in samples.items() if tuple(x for x in p if x[0] != "le") == pairs]
                assert buckets == sorted(buckets)
                assert buckets[-1] == count
    assert "process_resident_memory_bytes" in families
    assert "process_cpu_seconds_total" in families


def test_request_figures() -> None:
    """A request counts once, in the bucket that its duration belongs to; a duration on a bound is within it."""
    metrics = Metrics()
    for duration in (0.001, 0.0011, 99.0):
        metrics(events.RequestFinished("GET", "/a/{b}", 200, duration, 10, "hit"))
    families = parse(exposition([metrics.part()]))
    labels = (
        ("http_request_method", "GET"),
        ("http_route", "/a/{b}"),
        ("http_response_status_code", "200"),
    )
    buckets = families["http_server_request_duration_seconds_bucket"]
    assert buckets[(*labels, ("le", "0.001"))] == 1
    assert buckets[(*labels, ("le", "0.0025"))] == 2
    assert buckets[(*labels, ("le", "10"))] == 2
    assert buckets[(*labels, ("le", "+Inf"))] == 3
    assert families["http_server_request_duration_seconds_sum"][labels] == 99.0021
    assert families["tailrace_http_response_bytes_total"][(labels[1],)] == 30


DURATIONS = st.integers(0, 100 * 1024).map(lambda parts: parts / 1024)
"""Seconds of which any sum is exact, in whatever order it is made."""
BYTES = st.integers(min_value=0, max_value=10**9)
REQUESTS = st.tuples(
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/a", "/b"]),
    st.sampled_from([200, 500]),
    DURATIONS,
    BYTES,
    st.sampled_from([None, "hit", "miss"]),
)
DECISIONS = st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.sampled_from(["memory", "valkey"]))
COMPRESSIONS = st.tuples(st.sampled_from(["zstd", "br"]), BYTES, BYTES)


@given(st.lists(REQUESTS, max_size=9), st.lists(DECISIONS, max_size=9), st.lists(COMPRESSIONS, max_size=9))
def test_instruments_count_what_events_would(
    requests: list[Any], decisions: list[Any], compressions: list[Any]
) -> None:
    """Whether an observer is told by an event or through an instrument, its figures are the same, those of the last
    minutes included; and an observer without instruments is told the same events."""
    by_event, by_instrument, told = Metrics(), Metrics(), Metrics()
    both = (by_instrument, instruments(lambda event: told(event)))
    for method, route, status, seconds, size, cache in requests:
        by_event(events.RequestFinished(method, route, status, seconds, size, cache))
        for made in both:
            made.requests(method, route, status, cache)(seconds, size)
    for decision in decisions:
        by_event(events.LimitDecided(*decision))
        for made in both:
            made.decisions(*decision)()
    for encoding, original, encoded in compressions:
        by_event(events.ResponseCompressed(encoding, original, encoded))
        for made in both:
            made.compressions(encoding)(original, encoded)
    expected, *found = [
        ({name: family.series for name, family in metrics.families.items()}, metrics.window.figures())
        for metrics in (by_event, by_instrument, told)
    ]
    assert found == [expected, expected]


def test_metrics_are_their_own_instruments() -> None:
    """No event is made for what happens at every request, if nobody but the metrics is told."""
    metrics = Metrics()
    assert instruments(metrics) is metrics
    assert fan_out(None, metrics) is metrics


def test_names_are_unique_and_legal() -> None:
    """Every metric has a Prometheus name of its own that needs no quoting, and a sentence for people."""
    names = [prometheus_name(metric) for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric, name in zip(CATALOGUE, names, strict=True):
        assert re.fullmatch(r"[a-z_]+", name)
        assert metric.description.endswith(".")


def test_series_are_bounded() -> None:
    """A label that grows without end is collected under one value, and nothing is lost from the sum."""
    metrics = Metrics()
    for number in range(MAX_SERIES + 500):
        metrics(events.BulkheadRefused(f"d{number}"))
    series = metrics["tailrace.upstream.bulkhead.refusals"].series
    assert len(series) <= MAX_SERIES + 1
    assert series[(OTHER,)] == [500.0]


@given(st.text(max_size=40))
def test_any_label_value_is_escaped(value: str) -> None:
    """No label value breaks out of its line."""
    metrics = Metrics()
    metrics(events.BulkheadRefused(value.replace("\x85", " ").replace("\u2028", " ").replace("\u2029", " ")))
    text = exposition([metrics.part()])
    assert text.count("\n") == exposition([Metrics().part()]).count("\n") + 3


def test_horizon_goes_on_ageing() -> None:
    """When no relay pass ends any more, the horizon's age keeps growing."""
    clock = FakeClock()
    metrics = Metrics(clock=clock)
    metrics(events.HorizonAdvanced(0.25, 3))
    clock.step(10)
    metrics.settle()
    assert metrics["tailrace.freshness.horizon.age"].series[()] == [10.25]


def test_circuit_is_in_one_state() -> None:
    """The state that a breaker left is 0, the one it is in is 1."""
    metrics = Metrics()
    for state in ("open", "half_open", "closed"):
        metrics(events.CircuitChanged("provider", state))  # type: ignore[arg-type]
    series = metrics["tailrace.upstream.circuit.state"].series
    assert {name: values[0] for (_, name), values in series.items()} == {"open": 0, "half_open": 0, "closed": 1}


def test_gauges_are_there_before_anything_happens() -> None:
    """What may go up is told as 0 until then: an alert cannot tell an absent figure from a process that is down."""
    metrics = Metrics()
    CircuitBreaker("provider", BreakerPolicy(), clock=FakeClock(), observer=metrics)
    metrics(events.JobsMeasured("send", 0, 0.0, 0))
    states = metrics["tailrace.upstream.circuit.state"].series
    assert {labels[1]: values[0] for labels, values in states.items()} == {"open": 0, "half_open": 0, "closed": 1}
    assert metrics["tailrace.job.running"].series == {("send",): [0]}
    assert metrics["tailrace.stream.open"].series == {(): [0]}


def test_fan_out_to_all() -> None:
    """Every observer hears every event; with none there is nothing to call."""
    one: list[Any] = []
    two: list[Any] = []
    observe = fan_out(None, one.append, two.append)
    assert observe is not None
    observe(events.BulkheadRefused("d"))
    assert len(one) == len(two) == 1
    assert fan_out(None, None) is None
