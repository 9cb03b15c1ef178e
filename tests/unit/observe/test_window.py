"""The window of requests: what it remembers, for how long, and how exactly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.observe.window import MAX_ROUTES, PARTS, RequestWindow


def test_counts_and_quantiles_by_route() -> None:
    """Each route has its own figures; all together are exact over all."""
    window = RequestWindow(seconds=100)
    window.tick(0)
    for milliseconds in range(1, 101):
        window.record("/a", 200, milliseconds / 1000)
    window.record("/b", 503, 5.0)
    window.record("/b", 404, 0.001)
    first, second = window.figures()
    assert (first.route, first.requests, first.statuses) == ("/a", 100, {200: 100})
    assert abs(first.p95 - 0.095) <= 0.095 * 0.02
    assert first.maximum == 0.1
    assert (second.error_share, second.client_error_share) == (0.5, 0.5)
    assert window.total().requests == 102
    assert window.total().statuses == {200: 100, 404: 1, 503: 1}


def test_forgets_what_is_old() -> None:
    """What is older than the window is gone, part by part; a route that has none left is forgotten itself."""
    window = RequestWindow(seconds=100)
    window.tick(1000)
    window.record("/old", 200, 0.1)
    for second in range(1001, 1090):
        window.tick(second)
    window.record("/new", 200, 0.1)
    assert {f.route for f in window.figures()} == {"/old", "/new"}
    assert [f.route for f in window.figures(10)] == ["/new"]
    window.tick(1101)
    assert [f.route for f in window.figures()] == ["/new"]
    window.tick(10_000)
    assert window.figures() == []
    assert window.total().requests == 0
    assert window.total().p99 == 0.0


def test_a_recorder_outlives_a_pause() -> None:
    """Who records again after his route was forgotten is heard."""
    window = RequestWindow(seconds=10)
    window.tick(0)
    record = window.recorder("/a", 200)
    record(0.1)
    window.tick(1000)
    assert window.figures() == []
    record(0.2)
    assert [(f.route, f.requests, f.maximum) for f in window.figures()] == [("/a", 1, 0.2)]


def test_routes_are_bounded() -> None:
    """However many names there are, memory is bounded; nothing is lost, only counted together."""
    window = RequestWindow()
    for number in range(MAX_ROUTES + 50):
        window.record(f"/{number}", 200, 0.1)
    assert len(window.figures()) == MAX_ROUTES + 1
    assert window.total().requests == MAX_ROUTES + 50
    for number in range(MAX_ROUTES + 50):
        window.recorder(f"/{number}", 200)(0.1)
    assert window.total().requests == 2 * (MAX_ROUTES + 50)


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from("abc"), st.floats(0, 100)), max_size=60))
def test_no_more_and_no_less_than_the_window(steps: list[tuple[float, str, float]]) -> None:
    """At any moment everything of the last nine tenths is counted, and nothing older than the window."""
    window, now, seen = RequestWindow(seconds=100), 50.0, list[tuple[float, str]]()
    for pause, route, duration in steps:
        now += pause
        window.tick(now)
        window.record(route, 200, duration)
        seen.append((now, route))
    counted = window.total().requests
    part = 100 / PARTS
    assert sum(moment > now - 100 + part for moment, _ in seen) <= counted
    assert counted <= sum(moment >= now - 100 - part for moment, _ in seen)
