"""Cursors come back as they were, and nothing else comes back at all."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.core.cursor import MAX_CURSOR, Cursors, Position, bind
from tailrace.errors import RequestError

CURSORS = Cursors([b"a secret of some length"])
HERE = bind("order", {"product": "x"}, "7")

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.decimals(allow_nan=False),
    st.floats(allow_nan=False),
    st.datetimes(),
    st.datetimes(
        datetime(2, 1, 1),  # noqa: DTZ001
        datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.just(UTC) | st.timezones(),
    ),
    st.dates(),
    st.uuids(),
)
POSITIONS = st.builds(Position, st.lists(VALUES, max_size=6).map(tuple), st.booleans(), st.booleans())


@given(POSITIONS)
def test_a_cursor_comes_back(position: Position) -> None:
    """Every value returns equal and with its type; a time with a zone as the same instant."""
    read = CURSORS.read(CURSORS.issue(position, HERE), HERE)
    assert read == position
    for sent, got in zip(position.values, read.values, strict=True):
        assert type(sent) is type(got)
        if isinstance(sent, float):
            assert math.copysign(1, sent) == math.copysign(1, got)  # type: ignore[arg-type]


def test_values_that_equal_nothing_come_back() -> None:
    """PostgreSQL orders NaN as well."""
    read = CURSORS.read(CURSORS.issue(Position((math.nan, Decimal("NaN"))), HERE), HERE)
    assert math.isnan(read.values[0])  # type: ignore[arg-type]
    assert read.values[1].is_nan()  # type: ignore[union-attr]


@given(POSITIONS, st.data())
def test_any_change_is_refused(position: Position, data: st.DataObject) -> None:
    """One character changed, removed or added anywhere: refused as the client's mistake, never an error of ours."""
    text = CURSORS.issue(position, HERE)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = data.draw(
        st.sampled_from([text[:at], text[at + 1 :], text[:at] + "A" + text[at:]])
        | st.characters(codec="ascii").map(lambda c: text[:at] + c + text[at + 1 :])
    )
    if changed == text:
        return
    with pytest.raises(RequestError) as refused:
        CURSORS.read(changed, HERE)
    assert (refused.value.status, refused.value.code) == (400, "invalid_cursor")


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_refused(text: str) -> None:
    """What was not issued here is refused, whatever it is."""
    with pytest.raises(RequestError):
        CURSORS.read(text, HERE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        bind("other order", {"product": "x"}, "7"),
        bind("order", {"product": "y"}, "7"),
        bind("order", {"product": "x", "rep": None}, "7"),
        bind("order", {"product": ["x"]}, "7"),
        bind("order", {}, "7"),
        bind("order", {"product": "x"}, "8"),
        bind("order", {"product": "x"}, None),
    ],
)
def test_bound_to_order_filters_and_user(elsewhere: bytes) -> None:
    """A genuine cursor is good for its own query and its own user only."""
    text = CURSORS.issue(Position((1,)), HERE)
    assert CURSORS.read(text, HERE).values == (1,)
    with pytest.raises(RequestError):
        CURSORS.read(text, elsewhere)


FILTERS: list[object] = [
    None,
    True,
    1,
    "1",
    Decimal(1),
    "",
    [],
    [1],
    ["Decimal", "1"],
    date(2026, 1, 1),
    "2026-01-01",
    datetime(2026, 1, 1, tzinfo=UTC),
    UUID(int=1),
    str(UUID(int=1)),
]


def test_filters_are_told_apart_by_type() -> None:
    """Two different filters never bind alike."""
    bound = [bind("o", {"f": value}, None) for value in FILTERS]
    assert len(set(bound)) == len(bound)
    for unordered in ({1, 2}, {"Decimal": "1"}):
        with pytest.raises(TypeError):
            bind("o", {"f": unordered}, None)


def test_secrets_are_replaced_without_a_gap() -> None:
    """With the new secret first, old cursors go on working; when the old one is removed they are refused."""
    old, new = b"the old secret....", b"the new secret...."
    text = Cursors([old]).issue(Position((1,)), HERE)
    both = Cursors([new, old])
    assert both.read(text, HERE).values == (1,)
    assert Cursors([new]).read(both.issue(Position((2,)), HERE), HERE).values == (2,)
    with pytest.raises(RequestError):
        Cursors([new]).read(text, HERE)


@pytest.mark.parametrize("secrets", [[], [b"short"], [b"long enough to sign", b"short"]])
def test_weak_secrets_are_refused(secrets: list[bytes]) -> None:
    """A secret that can be guessed is no secret."""
    with pytest.raises(ValueError, match="secret"):
        Cursors(secrets)


def test_a_cursor_is_bounded() -> None:
    """The longest that fits is issued and read; a longer one is neither."""
    longest = "x" * (MAX_CURSOR * 3 // 4 - 16 - 2 - 3)
    text = CURSORS.issue(Position((longest,)), HERE)
    assert len(text) == MAX_CURSOR
    assert CURSORS.read(text, HERE).values == (longest,)
    for values in [(longest + "x",), ("x" * 100_000,), (10**9999,)]:
        with pytest.raises(ValueError, match="too long"):
            CURSORS.issue(Position(values), HERE)
    with pytest.raises(RequestError):
        CURSORS.read("A" * (MAX_CURSOR + 1), HERE)


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize("value", [b"bytes", timedelta(1), Level.HIGH, ["list"]])
def test_other_types_are_refused_when_issued(value: Any) -> None:
    """What could not come back as it was is not put in."""
    with pytest.raises(TypeError):
        CURSORS.issue(Position((value,)), HERE)


def test_an_instant_is_one_whatever_its_zone() -> None:
    """The same moment in two zones is one position."""
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert CURSORS.issue(Position((moment,)), HERE) == CURSORS.issue(Position((moment.astimezone(UTC),)), HERE)
