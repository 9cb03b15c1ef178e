"""Rows as the driver gives them, to bytes and back. Pure.

    form "TR2" (3 bytes), CRC-32 of all that follows (4 bytes), JSON of columns, letters and rows

JSON, with a letter for each column whose type JSON has not: what is read from a store that others can write to is never
run. A value of any other type is refused rather than changed, so what comes out has the value and the type of what went
in (of a UUID the standard class, whichever subclass the driver gave). What is not in this form to the letter, because a
version with another form kept it or a bit of it has changed, is no result.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zlib import crc32
from zoneinfo import ZoneInfo

from tailrace.db.query_cache.refusal import NotCachedError

__all__ = ["Column", "decode", "encode", "encode_values"]

Column = tuple[str, int]
"""A result's column: its name and its type's oid."""

MARK = struct.Struct("!3sI")
FORM = b"TR2"
"""Another one whenever the same bytes would mean something else."""
PLAIN = frozenset({str, int, float, bool, type(None)})


def _plain(value: Any) -> bool:
    """True if JSON gives back just this."""
    kind = type(value)
    if kind is list:
        return all(_plain(each) for each in value)
    if kind is dict:
        return all(type(key) is str and _plain(each) for key, each in value.items())
    return kind in PLAIN


def _moment(value: datetime) -> str | None:
    zone = value.tzinfo
    if zone is None:
        return value.isoformat()
    if zone is UTC:
        return value.replace(tzinfo=None).isoformat() + "|"
    key = zone.key if isinstance(zone, ZoneInfo) else None
    return None if key is None else f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}|{key}"


def _to_moment(text: str) -> datetime:
    moment, aware, zone = text.partition("|")
    value = datetime.fromisoformat(moment)
    if not aware:
        return value
    value = value.replace(tzinfo=UTC)
    return value.astimezone(ZoneInfo(zone)) if zone else value


def _time(value: time) -> str | None:
    return value.isoformat() if value.tzinfo is None or type(value.tzinfo) is timezone else None


TYPES: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "n": (Decimal, str, Decimal),
    "m": (datetime, _moment, _to_moment),
    "d": (date, date.isoformat, date.fromisoformat),
    "t": (time, _time, time.fromisoformat),
    "i": (timedelta, lambda v: [v.days, v.seconds, v.microseconds], lambda v: timedelta(*v)),
    "b": (bytes, bytes.hex, bytes.fromhex),
}


def _letter(values: Sequence[Any]) -> str:
    """The letter of a column: empty if JSON has its values already."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= PLAIN or all(_plain(value) for value in values):
        return ""
    if len(kinds) == 1:
        (kind,) = kinds
        if issubclass(kind, UUID):
            return "u"
        for letter, (known, _, _) in TYPES.items():
            if kind is known:
                return letter
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise NotCachedError("types", f"a column has values of type {names}")


def _stored(letter: str, value: Any) -> Any:
    if value is None or not letter:
        return value
    found = str(value) if letter == "u" else TYPES[letter][1](value)
    if found is None:
        raise NotCachedError("types", f"{type(value).__name__} has the time zone {value.tzinfo!r}")
    return found


def _columns(rows: Sequence[Sequence[Any]]) -> tuple[list[str], Sequence[Sequence[Any]]]:
    letters = [_letter(values) for values in zip(*rows, strict=True)]
    if any(letters):
        rows = [[_stored(letter, value) for letter, value in zip(letters, row, strict=True)] for row in rows]
    else:
        rows = [list(row) for row in rows]
    return letters, rows


def encode(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> bytes:
    """A result as bytes.

    Raises:
        NotCachedError: a value has a type that cannot be stored.
    """
    letters, stored = _columns(rows)
    data = json.dumps([columns, letters, stored], ensure_ascii=False, separators=(",", ":")).encode()
    return MARK.pack(FORM, crc32(data)) + data


def decode(data: bytes) -> tuple[list[Column], list[tuple[Any, ...]]]:
    """The result that ``encode`` was given.

    Raises:
        NotCachedError: these are no bytes of ``encode``'s.
    """
    if len(data) < MARK.size or MARK.unpack_from(data) != (FORM, crc32(memoryview(data)[MARK.size :])):
        raise NotCachedError("damaged")
    try:
        return _decode(data[MARK.size :])
    except Exception as error:  # who forges the check may forge anything
        raise NotCachedError("damaged", f"what was kept cannot be read: {type(error).__name__}") from error


def _decode(data: bytes) -> tuple[list[Column], list[tuple[Any, ...]]]:
    columns, letters, rows = json.loads(data)
    if not {len(columns)}.issuperset(map(len, rows)):
        raise ValueError("a row has as many values as there are columns")
    for place, letter in enumerate(letters):
        if letter:
            convert = UUID if letter == "u" else TYPES[letter][2]
            for row in rows:
                if row[place] is not None:
                    row[place] = convert(row[place])
    return [(name, oid) for name, oid in columns], [tuple(row) for row in rows]


def encode_values(values: Any) -> bytes:
    """A statement's parameters, each with its type: 1, 1.0, true and "1" are different statements' business.

    Raises:
        NotCachedError: a value has a type that cannot be told apart.
    """
    named = sorted(values.items()) if isinstance(values, dict) else list(enumerate(values))
    letters = [_letter([value]) for _, value in named]
    stored = [[name, letter, _stored(letter, value)] for letter, (name, value) in zip(letters, named, strict=True)]
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode()
