"""Figures are really measured ones, and differences are claimed only when the samples carry them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.verify.statistics import blocks, compare, percentile, ratio_interval, summarise

times = st.lists(st.floats(0.001, 1000), min_size=1, max_size=200)


@given(samples=times, share=st.floats(0, 1))
def test_a_percentile_is_a_sample_that_covers_its_share(samples: list[float], share: float) -> None:
    """Nearest rank: a measured value, not exceeded by the share, and no smaller sample would do."""
    value = percentile(samples, share)
    needed = share * len(samples) - 1e-6
    assert value in samples
    assert sum(sample <= value for sample in samples) >= needed
    assert value == min(samples) or sum(sample < value for sample in samples) < needed + 1e-5


def test_the_95th_of_20_samples_is_the_19th() -> None:
    """Rounding of binary fractions does not move a rank."""
    assert percentile([float(n) for n in range(1, 21)], 0.95) == 19.0


def test_the_95th_of_few_samples_is_the_largest() -> None:
    """Few samples never look better than the worst of them."""
    assert percentile([1.0, 2.0, 50.0], 0.95) == 50.0


@given(samples=times)
def test_a_summary_is_in_order(samples: list[float]) -> None:
    """p50 <= p95 <= p99 <= maximum, and the mean lies within the samples."""
    summary = summarise(samples)
    assert summary.p50 <= summary.p95 <= summary.p99 <= summary.maximum == max(samples)
    assert min(samples) - 1e-9 <= summary.mean <= max(samples) + 1e-9
    assert summary.count == len(samples)


def test_nothing_measured_is_no_figure() -> None:
    """No samples raise; they are never shown as 0."""
    with pytest.raises(ValueError, match="nothing"):
        summarise([])
    with pytest.raises(ValueError, match="samples"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="both sides"):
        ratio_interval([], [1.0], random=Random(1))


def test_a_real_difference_is_found() -> None:
    """Ten times as fast under noise: the verdict says so and the interval holds the true ratio."""
    draw = Random(7)
    slow = [draw.lognormvariate(0, 0.3) * 100 for _ in range(100)]
    fast = [draw.lognormvariate(0, 0.3) * 10 for _ in range(100)]
    comparison = compare(slow, fast, random=Random(1))
    assert comparison.verdict == "faster"
    assert comparison.speedup.low < 10 < comparison.speedup.high
    assert compare(fast, slow, random=Random(1)).verdict == "slower"


def test_noise_is_not_called_a_difference() -> None:
    """Two sets from one distribution: of 100 pairs about 5 may be told apart, never the most of them."""
    draw, claimed = Random(3), 0
    for _ in range(100):
        one = [draw.lognormvariate(0, 0.5) for _ in range(30)]
        other = [draw.lognormvariate(0, 0.5) for _ in range(30)]
        interval = ratio_interval(one, other, random=draw, resamples=200)
        claimed += not interval.low <= 1 <= interval.high
    assert claimed <= 15


def test_blocks_interleave() -> None:
    """Each round has every variant once, and the order within rounds changes."""
    order = list(blocks(["a", "b", "c"], 50, random=Random(1)))
    rounds = [tuple(order[n : n + 3]) for n in range(0, 150, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(rounds)) > 3
