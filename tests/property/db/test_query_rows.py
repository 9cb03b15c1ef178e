"""Rows through the query cache's form and back."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zlib import crc32
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.db.query_cache.rows import FORM, MARK, TYPES, decode, encode, encode_values

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ZONES = st.sampled_from([None, UTC, ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")])
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
COLUMNS = st.sampled_from(
    [
        PLAIN,
        st.decimals(),
        st.dates(),
        st.times().map(lambda value: value.replace(fold=0)),
        st.timedeltas(),
        st.uuids(),
        st.binary(max_size=8),
        st.lists(PLAIN | st.lists(st.integers(), max_size=2), max_size=3),
        # No driver gives a time that clocks skip: what it gives is an instant, told in a zone.
        st.datetimes(
            datetime(2, 1, 1),  # noqa: DTZ001
            datetime(9998, 1, 1),  # noqa: DTZ001
            timezones=ZONES.flatmap(st.just),
            allow_imaginary=False,
        ),
    ]
)


@st.composite
def results(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Rows whose columns have one type each, with NULLs."""
    columns = draw(st.lists(COLUMNS, max_size=4))
    return draw(st.lists(st.tuples(*[st.none() | column for column in columns]), max_size=5))


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, at the same instant and in the same zone; NaN equals NaN."""
    if isinstance(one, datetime):
        return isinstance(other, datetime) and (one, one.tzinfo, one.utcoffset()) == (
            other,
            other.tzinfo,
            other.utcoffset(),
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and (repr(one) == repr(other))


@given(results())
def test_what_comes_out_is_what_went_in(rows: list[tuple[Any, ...]]) -> None:
    """Values and types of every kind that drivers give."""
    columns = [(f"c{place}", place) for place in range(len(rows[0]) if rows else 0)]
    found_columns, found = decode(encode(columns, rows))
    assert found_columns == columns
    assert len(found) == len(rows)
    for row, again in zip(rows, found, strict=True):
        assert all(map(same, row, again))
        assert len(row) == len(again)


def is_refused(data: bytes) -> bool:
    """Whether these bytes are no result."""
    try:
        decode(data)
    except NotCachedError as refusal:
        return refusal.reason == "damaged"
    return False


@given(st.binary(max_size=60))
def test_other_bytes_are_no_result(data: bytes) -> None:
    """Whatever somebody else has kept, and what versions without a mark did, is refused in one way."""
    for kept in (data, FORM + data, json.dumps([[["a", 1]], [""], [[1]]]).encode() + data):
        assert is_refused(kept)


@given(results(), st.data())
def test_a_changed_result_is_no_result(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    """No byte of what was kept can be another, be missing or come to it: never wrong rows."""
    kept = encode([(f"c{place}", place) for place in range(len(rows[0]) if rows else 0)], rows)
    place, change = data.draw(st.integers(0, len(kept) - 1)), data.draw(st.integers(1, 255))
    assert is_refused(kept[:place] + bytes([kept[place] ^ change]) + kept[place + 1 :])
    assert is_refused(kept[:place])
    assert is_refused(kept + bytes([change]))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)
LETTERS = st.lists(st.sampled_from([*TYPES, "u", "", "?"]), max_size=3)


@given(
    st.tuples(st.just([["a", 1], ["b", 2]]), LETTERS, st.lists(st.lists(ANYTHING, max_size=3), max_size=3)) | ANYTHING
)
@example([[["a", 1]], [""], "x"])
@example([[["a", 1]], ["m"], [["2026-01-01T00:00:00|../.."]]])
@example([[["a", 1]], ["n"], [["no number"]]])
@example([[["a", 1]], ["i"], [[[10**10, 0, 0]]]])
def test_a_forged_result_crashes_nobody(content: Any) -> None:
    """Even what bears the mark and the check is a table of as many values as columns, or is refused."""
    written = json.dumps(content).encode()
    forged = MARK.pack(FORM, crc32(written)) + written
    if not is_refused(forged):
        columns, rows = decode(forged)
        assert {len(row) for row in rows} <= {len(columns)}


@pytest.mark.parametrize(
    "value", [{1}, (1, 2), object(), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1))), [b"x"], {1: 2}]
)
def test_what_would_change_is_refused(value: Any) -> None:
    """Rather no cache than another value."""
    with pytest.raises(NotCachedError):
        encode([("c", 1)], [(value,)])


def test_two_types_in_one_column_are_refused() -> None:
    """One letter stands for a whole column."""
    with pytest.raises(NotCachedError):
        encode([("c", 1)], [(uuid.UUID(int=1),), (datetime(2026, 1, 1),)])  # noqa: DTZ001


@given(COLUMNS.flatmap(lambda c: st.tuples(c, c)), st.booleans())
def test_parameters_are_told_apart(pair: tuple[Any, Any], named: bool) -> None:
    """Equal text is equal value and type, and the other way round."""
    texts = [encode_values({"p": value} if named else (value,)) for value in pair]
    assert (texts[0] == texts[1]) == same(*pair)
