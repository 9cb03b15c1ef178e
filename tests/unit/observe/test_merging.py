from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tailrace.observe.catalogue import METRICS
from tailrace.observe.merging import Figures, Part, merge

COUNTER = "tailrace.upstream.bulkhead.refusals"
HISTOGRAM = "tailrace.shedding.wait_time"
SIZE = len(METRICS[HISTOGRAM].bounds) + 2
NUMBERS = st.integers(0, 2**40).map(float)
LABELS = st.sampled_from([("a",), ("b",), ("c",)])


def part(worker: int, counted: dict[tuple[str, ...], float], alive: bool, waited: list[float]) -> Part:
    figures: dict[str, dict[tuple[str, ...], list[float]]] = {
        COUNTER: {labels: [value] for labels, value in counted.items()},
        HISTOGRAM: {(): waited},
        "tailrace.stream.open": {(): [1.0]},
    }
    return Part(str(worker), figures, alive)


PARTS = st.lists(
    st.builds(
        part,
        st.integers(1, 9),
        st.dictionaries(LABELS, NUMBERS),
        st.booleans(),
        st.lists(NUMBERS, min_size=SIZE, max_size=SIZE),
    ),
    max_size=6,
)


@given(PARTS, st.randoms(use_true_random=False))
def test_counts_are_sums_in_any_order(parts: list[Part], order: random.Random) -> None:
    """Counters and histograms are sums over the living and the dead, gauges over the living, whatever the order."""
    merged = {each.metric.name: each.series for each in merge(parts)}
    for labels in [("a",), ("b",), ("c",)]:
        counted = [each.figures[COUNTER][labels][0] for each in parts if labels in each.figures[COUNTER]]
        assert merged.get(COUNTER, {}).get(labels, [0.0]) == [sum(counted)]
    columns = zip(*[each.figures[HISTOGRAM][()] for each in parts], strict=True)
    assert merged.get(HISTOGRAM, {}).get((), []) == [sum(column) for column in columns]
    living = sum(each.alive for each in parts)
    assert merged.get("tailrace.stream.open", {}).get((), [0.0]) == [living]
    shuffled = list(parts)
    order.shuffle(shuffled)
    assert {each.metric.name: each.series for each in merge(shuffled)} == merged


def gauges(name: str, labels: tuple[str, ...], *values: float) -> Any:
    merged = merge([Part(str(number), {name: {labels: [value]}}) for number, value in enumerate(values)])
    (each,) = merged
    return each.labels, each.series


def test_gauges_by_kind() -> None:
    """What may not be added up is the worst of all processes, or each process's own."""
    assert gauges("tailrace.freshness.horizon.age", (), 1, 3, 2) == ((), {(): [3]})
    assert gauges("tailrace.store.connected", ("valkey",), 1, 0, 1) == (("store",), {("valkey",): [0]})
    assert gauges("process.open_fds", (), 5, 7) == (("worker",), {("0",): [5], ("1",): [7]})


def test_another_release_does_no_harm() -> None:
    """Metrics that this release does not know, and such as have other labels or buckets here, are left out."""
    other: Figures = {
        "tailrace.no.longer": {(): [1.0]},
        COUNTER: {("a", "b"): [1.0]},
        HISTOGRAM: {(): [1.0, 2.0]},
    }
    assert merge([Part("1", other)]) == []
