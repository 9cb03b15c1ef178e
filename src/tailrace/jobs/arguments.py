"""What a job is told: data, as JSON. Pure.

A job runs in another process, perhaps days later and from newer code, so it is told what to look at and never given an
object: no rows, no connections, no secrets. The queue's tables keep it readable for as long as the job is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["LARGEST", "decode", "encode"]

LARGEST = 64 * 1024
"""Bytes of a job's arguments; more belongs in a table that the job reads."""


def encode(arguments: Mapping[str, Any]) -> bytes:
    """The arguments as JSON.

    Raises:
        TypeError: something in them is no data, or would be another value when it is read again (a tuple, a float
            subclass, a key that is no text).
        ValueError: they are too large, or have a number that JSON does not.

    >>> decode(encode({"user_id": 3, "days": [1, 2]}))
    {'user_id': 3, 'days': [1, 2]}
    """
    text = json.dumps(dict(arguments), allow_nan=False, separators=(",", ":"))
    if len(text) > LARGEST:
        raise ValueError(f"a job's arguments have {len(text)} bytes, {LARGEST} at most: let it read them from a table")
    if not _same(json.loads(text), dict(arguments)):
        raise TypeError("a job's arguments are text, numbers, booleans, None, lists and dicts with text for keys")
    return text.encode()


def decode(payload: bytes | None) -> dict[str, Any]:
    """The arguments that ``encode`` wrote.

    Raises:
        ValueError: they are none.
    """
    try:
        found = json.loads(payload or b"{}")
    except RecursionError:
        raise ValueError("a job's arguments are nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("a job's arguments are named")
    return found


def _same(read: object, given: object) -> bool:
    """Equal, and of the same types all the way down."""
    if type(read) is not type(given):
        return False
    if isinstance(read, dict) and isinstance(given, dict):
        return read.keys() == given.keys() and all(_same(value, given[key]) for key, value in read.items())
    if isinstance(read, list) and isinstance(given, list):
        return len(read) == len(given) and all(map(_same, read, given))
    return read == given
