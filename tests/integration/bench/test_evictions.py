"""Our eviction beside the paper's, on the traces of the benchmarks, which are drawn with fixed seeds."""

from __future__ import annotations

import pytest
from bench.evictions import TRACES, LeastRecentlyUsed, Ours, PaperS3Fifo, hit_ratio

REQUESTS = 30_000
TIE = 0.1
"""Percent within which two policies of one kind count as equal: bounds are looked at in another order."""


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("capacity", [100, 1000])
@pytest.mark.parametrize("bound", ["entries", "bytes"])
def test_ours_holds_what_the_papers_holds(name: str, capacity: int, bound: str) -> None:
    """Of every trace our policy keeps what S3-FIFO as it was published keeps, whichever bound it is that is reached."""
    trace = TRACES[name](REQUESTS)
    ours = hit_ratio(Ours(capacity, by_bytes=bound == "bytes"), trace)
    assert abs(ours - hit_ratio(PaperS3Fifo(capacity), trace)) <= TIE


@pytest.mark.parametrize("name", ["stationary, 0.8", "stationary, 1.0", "stationary, 1.2", "scanned"])
def test_ours_holds_more_than_the_least_recently_used(name: str) -> None:
    """Where favourites stay, and where scans pass through, it beats what most packages do."""
    trace = TRACES[name](REQUESTS)
    assert hit_ratio(Ours(1000), trace) > hit_ratio(LeastRecentlyUsed(1000), trace) + 1
