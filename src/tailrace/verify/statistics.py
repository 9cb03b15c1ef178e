"""What measured times say, and how surely. Pure: samples in, values out; randomness is handed in.

Percentiles are by nearest rank: every figure shown was really measured, and the 95th of few samples is their largest
rather than something interpolated below it. Two variants are compared as the ratio of a statistic with a bootstrap
interval, from samples taken in randomised blocks, so that a machine that slows down in mid-run slows both.

**Source:** Hyndman and Fan 1996, definition 1; Efron and Tibshirani, "An Introduction to the Bootstrap", chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

__all__ = ["Comparison", "Interval", "Summary", "blocks", "compare", "percentile", "ratio_interval", "summarise"]

Statistic = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one set of samples, in the samples' unit."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the interval that holds the true value with the stated confidence."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times as fast the candidate is as the baseline. ``verdict`` is ``unclear`` when 1 lies within."""

    speedup: Interval
    verdict: Literal["faster", "slower", "unclear"]


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0..1) of all do not exceed.

    Raises:
        ValueError: there are no samples, or the share is out of range.

    Cost: one sort.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5)
    2.0
    """
    if not samples or not 0 <= share <= 1:
        raise ValueError("a percentile needs samples, and a share from 0 to 1")
    return _ranked(sorted(samples), share)


def summarise(samples: Sequence[float]) -> Summary:
    """Count, mean and percentiles.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("nothing was measured")
    ordered = sorted(samples)
    return Summary(
        count=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        p50=_ranked(ordered, 0.50),
        p95=_ranked(ordered, 0.95),
        p99=_ranked(ordered, 0.99),
        maximum=ordered[-1],
    )


def ratio_interval(
    numerator: Sequence[float],
    denominator: Sequence[float],
    *,
    random: Random,
    statistic: Statistic | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """The ratio of a statistic (median unless told) of two sets, with a percentile-bootstrap interval.

    Raises:
        ValueError: a set is empty, or the statistic of the denominator is not above 0.

    Cost: ``resamples`` draws and evaluations of both sets.
    """
    if not numerator or not denominator:
        raise ValueError("a ratio needs samples on both sides")
    of = statistic or _median
    below = of(denominator)
    if below <= 0:
        raise ValueError("the denominator must be above 0")
    ratios = []
    for _ in range(resamples):
        drawn = of(random.choices(denominator, k=len(denominator)))
        if drawn > 0:
            ratios.append(of(random.choices(numerator, k=len(numerator))) / drawn)
    ratios.sort()
    tail = (1 - confidence) / 2
    return Interval(of(numerator) / below, _ranked(ratios, tail), _ranked(ratios, 1 - tail))


def compare(
    baseline: Sequence[float],
    candidate: Sequence[float],
    *,
    random: Random,
    statistic: Statistic | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Whether ``candidate`` takes less time than ``baseline``, and by which factor.

    Raises:
        ValueError: as ``ratio_interval``.
    """
    speedup = ratio_interval(baseline, candidate, random=random, statistic=statistic, confidence=confidence)
    if speedup.low > 1:
        return Comparison(speedup, "faster")
    if speedup.high < 1:
        return Comparison(speedup, "slower")
    return Comparison(speedup, "unclear")


def blocks(variants: Sequence[str], rounds: int, *, random: Random) -> Iterator[str]:
    """An interleaved order: every round has each variant once, in an order drawn anew.

    >>> sorted(blocks(["a", "b"], 2, random=Random(1)))
    ['a', 'a', 'b', 'b']
    """
    for _ in range(rounds):
        yield from random.sample(list(variants), k=len(variants))


def _median(samples: Sequence[float]) -> float:
    return percentile(samples, 0.5)


def _ranked(ordered: Sequence[float], share: float) -> float:
    # 0.95 * 20 is 19.000000000000004 in binary: rounded first, so that it ranks 19th and not 20th.
    rank = math.ceil(round(share * len(ordered), 9))
    return ordered[max(rank, 1) - 1]
