"""Cursors: where a page ended, as text that a client carries and cannot change. Pure.

    base64url( version | flags | values, each with its type | first 16 bytes of HMAC-SHA256(secret, binding and those) )

A cursor is signed, not encrypted: it holds values by which the client's own rows are ordered. What it was made for, the
order, the filters and whose rows they are, is not in it but in what is signed (``bind``), so that a cursor of another
query or of another user fails like a forged one. Values keep their types, so a comparison in the database means the
same on the next page.

**Source:** RFC 2104 (HMAC), RFC 4648 section 5 (base64url).
"""

from __future__ import annotations

import hmac
import json
import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from typing import TypeAlias
from uuid import UUID

from tailrace.errors import RequestError

__all__ = ["MAX_CURSOR", "MIN_SECRET", "CursorValue", "Cursors", "Position", "bind"]

MAX_CURSOR = 4096
"""Characters of a cursor. No index of PostgreSQL holds an entry that would need more."""

MIN_SECRET = 16
"""Bytes of the shortest secret that is taken."""

VERSION = 1
SIGNATURE_BYTES = 16
DOMAIN = b"tailrace cursor\0"
"""Begins everything that is signed here, so that a secret may sign other things as well."""

TOO_LONG = "the values are too long for a cursor: order by something shorter, such as left(title, 200)"
BACKWARD, INCLUSIVE = 1, 2
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the origin of times without a zone
EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
INT64, DOUBLE, DAY, LENGTH = struct.Struct("!q"), struct.Struct("!d"), struct.Struct("!i"), struct.Struct("!H")

_TEXT = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_CURSOR}}}")

CursorValue: TypeAlias = bool | int | float | str | Decimal | datetime | date | UUID | None


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an ordered set of rows, and which way to go from it.

    Attributes:
        values: of the order's columns in the row at that place, the last ones being a unique key. Empty: the end that
            lies behind, so the first page, or walking backward the last one.
        backward: the page wanted lies before the place.
        inclusive: the row at the place itself is wanted too.
    """

    values: tuple[CursorValue, ...] = ()
    backward: bool = False
    inclusive: bool = False


def bind(order: str, filters: Mapping[str, object], identity: str | None) -> bytes:
    """What a cursor is good for, as 32 bytes: two queries have the same only if they have everything in common.

    Args:
        order: the order's description, types included.
        filters: what chooses the rows, by name: text, numbers, dates, UUIDs, booleans, None, and lists of them.
        identity: whose rows they are, None for everyone's.

    Raises:
        TypeError: a filter is something else.

    >>> bind("a", {"x": 1, "y": 2}, "1") == bind("a", {"y": 2, "x": 1}, "1") != bind("a", {"x": 1, "y": 2}, None)
    True
    """
    named = {name: _plain(value) for name, value in filters.items()}
    return sha256(json.dumps([order, named, identity], sort_keys=True).encode()).digest()


def _plain(value: object) -> object:
    """A filter as JSON; what JSON has no type for is an object, which no other filter becomes."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal | datetime | date | UUID):
        return {type(value).__name__: str(value)}
    raise TypeError(f"a filter of a cursor must be text, a number, a date or a list, not {type(value).__name__}")


class Cursors:
    """Issues and reads cursors.

    Args:
        secrets: at least 16 bytes each, shared by all processes that serve the same clients. The first signs; all are
            accepted, so that one can be replaced: put the new one first, remove the old one when its cursors have gone.

    Raises:
        ValueError: there is no secret, or one is too short.
    """

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Sequence[bytes]) -> None:
        if not secrets:
            raise ValueError("cursors need a secret to sign them")
        if min(map(len, secrets)) < MIN_SECRET:
            raise ValueError(f"a secret that signs cursors has at least {MIN_SECRET} bytes")
        self._secrets = tuple(secrets)

    def issue(self, position: Position, binding: bytes) -> str:
        """The cursor of ``position``, good only where ``binding`` is the same.

        Raises:
            ValueError: the values are too long for a cursor.
            TypeError: a value has a type that a cursor cannot hold.
        """
        flags = BACKWARD * position.backward | INCLUSIVE * position.inclusive
        payload = bytes([VERSION, flags]) + b"".join([_encode(value) for value in position.values])
        text = _to_text(payload + _sign(self._secrets[0], binding, payload))
        if len(text) > MAX_CURSOR:
            raise ValueError(
                "the values are too long for a cursor: order by something shorter, such as left(title, 200)"
            )
        return text

    def read(self, text: str, binding: bytes) -> Position:
        """The position that ``text`` was issued for.

        Raises:
            RequestError: it was not issued here for this ``binding``; status 400.
        """
        if _TEXT.fullmatch(text) is None:
            raise _refused()
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            raise _refused() from None
        payload, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        # Every secret is tried, whichever fits. One text for one cursor: other spellings of the same bytes are refused.
        genuine = [hmac.compare_digest(signature, _sign(secret, binding, payload)) for secret in self._secrets]
        if not any(genuine) or payload[:1] != bytes([VERSION]) or _to_text(data) != text:
            raise _refused()
        try:
            return Position(tuple(_decode(payload, 2)), bool(payload[1] & BACKWARD), bool(payload[1] & INCLUSIVE))
        except (ValueError, ArithmeticError, LookupError, struct.error):
            raise _refused() from None


def _refused() -> RequestError:
    return RequestError(
        "the cursor is not valid here: it is damaged or no longer accepted, or it belongs to another query or another "
        "user; begin again without it",
        code="invalid_cursor",
    )


def _sign(secret: bytes, binding: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, DOMAIN + LENGTH.pack(len(binding)) + binding + payload, "sha256")[:SIGNATURE_BYTES]


def _to_text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _encode(value: CursorValue) -> bytes:
    """One byte for the type, then the value. Order of the tests: a bool is an int, a datetime is a date."""
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, float):
        return b"f" + DOUBLE.pack(value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            return b"n" + INT64.pack((value.replace(tzinfo=None) - EPOCH) // MICROSECOND)
        return b"t" + INT64.pack((value - EPOCH_UTC) // MICROSECOND)
    if isinstance(value, date):
        return b"d" + DAY.pack(value.toordinal())
    if isinstance(value, UUID):
        return b"u" + value.bytes
    kind, data = _variable(value)
    if len(data) > MAX_CURSOR:
        raise ValueError(TOO_LONG)
    return kind + LENGTH.pack(len(data)) + data


def _variable(value: int | str | Decimal) -> tuple[bytes, bytes]:
    if isinstance(value, Enum):
        raise TypeError("a cursor cannot hold an enumeration: order by its text or its number")
    if isinstance(value, int):
        return b"i", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    if isinstance(value, str):
        return b"s", value.encode()
    if isinstance(value, Decimal):
        return b"D", str(value).encode("ascii")
    raise TypeError(f"a cursor cannot hold a {type(value).__name__}")


def _decode(data: bytes, at: int) -> list[CursorValue]:
    """The values from ``at`` to the end."""
    values: list[CursorValue] = []
    while at < len(data):
        kind, at = data[at : at + 1], at + 1
        if kind in _FLAT:
            values.append(_FLAT[kind])
            continue
        if kind in _FIXED:
            size = _FIXED[kind]
        else:
            (size,) = LENGTH.unpack_from(data, at)
            at += LENGTH.size
        if at + size > len(data):
            raise ValueError("truncated")
        values.append(_one(kind, data[at : at + size]))
        at += size
    return values


_FLAT: Mapping[bytes, CursorValue] = {b"N": None, b"T": True, b"F": False}
_FIXED = {b"f": 8, b"n": 8, b"t": 8, b"d": 4, b"u": 16}


def _one(kind: bytes, data: bytes) -> CursorValue:
    if kind == b"i":
        return int.from_bytes(data, "big", signed=True)
    if kind == b"s":
        return data.decode()
    if kind == b"D":
        return Decimal(data.decode("ascii"))
    if kind == b"f":
        return float(DOUBLE.unpack(data)[0])
    if kind == b"n":
        return EPOCH + int(INT64.unpack(data)[0]) * MICROSECOND
    if kind == b"t":
        return EPOCH_UTC + int(INT64.unpack(data)[0]) * MICROSECOND
    if kind == b"d":
        return date.fromordinal(DAY.unpack(data)[0])
    if kind == b"u":
        return UUID(bytes=data)
    raise ValueError("unknown type")
