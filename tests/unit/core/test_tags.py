"""Tags: the names that Python and PostgreSQL give to the same rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest

from tailrace.core.freshness import tag


class Colour(str, Enum):  # noqa: UP042 - the kind whose str() is its name
    """As an ORM stores it: by value."""

    RED = "red"


class Level(IntEnum):
    """As an ORM stores it: by value."""

    HIGH = 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (-1, "-1"),
        (Level.HIGH, "3"),
        ("a:b=*", "a:b=*"),
        ("", ""),
        (Colour.RED, "red"),
        (UUID("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (None, "None"),
    ],
)
def test_a_key_is_named_as_postgresql_writes_it(value: Any, text: str) -> None:
    """What ``value::text`` gives, with ``None`` for NULL."""
    assert tag("t", "k", value) == f"t:k={text}"


@pytest.mark.parametrize("value", [True, 1.0, Decimal("1.0"), date(2026, 1, 1), b"x", object()])
def test_what_has_several_text_forms_is_refused(value: Any) -> None:
    """An answer under a name that no write ever gives would never be invalidated."""
    with pytest.raises(TypeError, match="k of t must be"):
        tag("t", "k", value)


def test_a_value_cannot_be_taken_for_the_wide_tag() -> None:
    """Keyed tags hold their column's name, which the wide one has not."""
    assert tag("t", "k", "*") != "t:*"
