"""A soak ends with what it saw, however requests went."""

from __future__ import annotations

from bench.soak import STEPS, Soaked

from tailrace.verify.client import Exchange, Request
from tailrace.verify.driver import LoadResult
from tailrace.verify.http1 import Response


def result(*statuses: int | None) -> LoadResult:
    """Exchanges with these statuses; None: the time was over."""
    found = LoadResult()
    for status in statuses:
        response = None if status is None else Response(status, b"", b"")
        error = "timeout" if response is None else None
        found.add(Exchange(Request("asked", "/"), 0.0, 0.0, 0.0, response, error))
    return found


def values(soaked: Soaked, metric: str) -> list[float]:
    return [row.value for row in soaked.rows() if row.metric == metric]


def test_what_fails_is_counted_and_ends_nothing() -> None:
    """What a server sheds is told apart from what went wrong."""
    soaked = Soaked(1.0, held=[100.0])
    soaked.add(result(200, 503, 500, None))
    soaked.add(result(200, 404, 200))
    assert values(soaked, "asked") == [7]
    assert values(soaked, "turned away") == [1]
    assert soaked.failed == {"status_500": 1, "timeout": 1, "status_404": 1}
    assert values(soaked, "failed") == [3]


def test_the_second_half_is_judged_only_when_it_was_seen() -> None:
    """Memory so far is told of a soak that ended early; growth is not."""
    soaked = Soaked(1.0, held=[100.0] * STEPS)
    assert len(values(soaked, "resident memory")) == STEPS
    assert values(soaked, "growth") == []
    soaked.held.append(103.0)
    assert [round(value, 6) for value in values(soaked, "growth")] == [3.0]
