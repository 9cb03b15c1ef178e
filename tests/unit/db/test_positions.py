"""Which moment a position stands for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.db.replicas import Positions


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 50)), min_size=1), st.integers(0, 60))
def test_a_position_stands_for_the_newest_moment_that_it_has_passed(
    steps: list[tuple[float, int]], replayed: int
) -> None:
    """Never for one with a commit that it does not show; and time that is not remembered counts for nothing."""
    positions, now, position, seen = Positions(keep=20), 0.0, 0, []
    for later, further in steps:
        now, position = now + later, position + further
        positions.add(now, position)
        seen.append((now, position))
    reached = positions.reached(replayed)
    passed = [moment for moment, at in seen if at <= replayed and moment >= now - 20]
    assert reached == max(passed, default=float("-inf"))
