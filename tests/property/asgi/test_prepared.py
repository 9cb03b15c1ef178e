"""What is remembered of a hit's lines beside what they are made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.asgi.headers import field_lines
from tailrace.asgi.prepared import Prepared, fields_of_hit
from tailrace.asgi.route_policy import Resolved
from tailrace.asgi.stored_response import encode_response

seconds = st.one_of(st.floats(0, 100_000, allow_nan=False), st.integers(0, 70).map(float), st.floats(0, 3))
hits = st.lists(st.tuples(seconds, st.one_of(seconds, st.sampled_from([60.0, 0.3, 59.99]))), min_size=1, max_size=12)


@example([(0.2, 60.3), (0.3, 60.3), (0.31, 60.3), (0.999, 60.3), (1.0, 60.3), (1.3, 60.3), (0.0, 60.3)])
@example([(0.0, 0.3), (0.0, 0.30000000000000004), (0.2, 0.3)])
@given(hits)
def test_lines_of_a_hit_are_its_fields(asked: list[tuple[float, float]]) -> None:
    """However old an answer is, and whatever was asked before: its remembered lines say what its fields say."""
    lookup: Any = SimpleNamespace()
    prepared = Prepared(lookup, Resolved("/", None), ())
    for age, ttl in sorted(asked) + asked:
        lookup.age, lookup.ttl = min(age, ttl), ttl
        assert prepared.lines() == field_lines(fields_of_hit(lookup.age, lookup.ttl))


BODIES = [b"", b"one", b"two", b"longer"]
stored = st.builds(
    lambda name, body: encode_response(200, [(b"x-name", name)], body, never_stale=False) or b"",
    st.sampled_from([b"a", b"b"]),
    st.sampled_from(BODIES),
)


@given(st.lists(st.tuples(stored, st.sampled_from(["found", "found again", "given"])), max_size=12))
def test_a_head_is_that_of_the_response_that_was_found(asked: list[tuple[bytes, str]]) -> None:
    """Whether it was found anew, found again without being looked for, or another one was looked at in between."""
    lookup: Any = SimpleNamespace(start=0, held=None)
    prepared = Prepared(lookup, Resolved("/", None), ())
    last = b""
    for data, how in asked:
        if how == "given":
            head, of = prepared.head_of(data), data
        elif how == "found again" and last:
            head, of = prepared.head_found(last), last
        else:
            last = of = data
            lookup.held = object()
            head = prepared.head_found(data)
        expected = Prepared(lookup, Resolved("/", None), ()).head_of(of)
        assert expected is not None
        assert head is not None
        assert (head.headers, head.length) == (expected.headers, expected.length)
