"""What a job is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.jobs.arguments import LARGEST, decode, encode

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
)
NAMES = st.text(max_size=5)
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)


@given(arguments=st.dictionaries(NAMES, DATA, max_size=4))
def test_data_is_read_as_it_was_given(arguments: dict[str, Any]) -> None:
    """Values and types survive."""
    assert decode(encode(arguments)) == arguments


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", (1, 2), {1: "one"}, {"in": [{"deep": (1,)}]}])
def test_what_is_no_data_is_refused(value: object) -> None:
    """Nothing that would be read as something else, at any depth."""
    with pytest.raises(TypeError):
        encode({"value": value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x" * LARGEST])
def test_what_json_has_not_or_is_too_large_is_refused(value: object) -> None:
    """Numbers that are none, and more than a queue should carry."""
    with pytest.raises(ValueError):
        encode({"value": value})


def test_a_payload_of_somebody_else_is_refused() -> None:
    """Arguments have names."""
    with pytest.raises(ValueError, match="named"):
        decode(b"[1]")
