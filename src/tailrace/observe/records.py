"""How series lie in a file that several processes map. Pure.

A file is made of segments of one size, a segment of records one after another, and a record of its length, that of its
key, the key (JSON: the metric's name and the label values) and the numbers. The length is written last, so that
whoever reads meanwhile sees a whole record or none; a length of 0 ends a segment. Numbers change in place. A length
that no record can have ends its segment too, and a key that names nothing is passed over: who asks for figures gets
those that can be read, whatever wrote the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence

__all__ = ["SEGMENT", "key_of", "read_records", "record_length", "write_record"]

SEGMENT = 256 * 1024
"""Bytes; a multiple of what a mapping begins at."""

_HEAD = struct.Struct("=II")


def key_of(name: str, labels: Sequence[str]) -> bytes:
    """What a record is found by."""
    return json.dumps([name, *labels], ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def record_length(key: bytes, size: int) -> int:
    """Bytes of a record of ``size`` numbers."""
    return _numbers_at(len(key)) + 8 * size


def write_record(segment: memoryview, at: int, key: bytes, size: int) -> memoryview[float]:
    """Write a record of zeros where zeros are.

    Returns:
        Its numbers, to be changed in place.
    """
    length, numbers = record_length(key, size), _numbers_at(len(key))
    segment[at + _HEAD.size : at + _HEAD.size + len(key)] = key
    segment[at + 4 : at + 8] = struct.pack("=I", len(key))
    segment[at : at + 4] = struct.pack("=I", length)
    return segment[at + numbers : at + length].cast("d")


def read_records(data: bytes) -> Iterator[tuple[str, tuple[str, ...], tuple[float, ...]]]:
    """Name, label values and numbers of every record that can be read."""
    for start in range(0, len(data), SEGMENT):
        at, end = start, min(start + SEGMENT, len(data))
        while at + _HEAD.size <= end:
            length, key_length = _HEAD.unpack_from(data, at)
            numbers = at + _numbers_at(key_length)
            if not numbers <= at + length <= end:
                break
            names = _names(data[at + _HEAD.size : at + _HEAD.size + key_length])
            if names is not None:
                values = struct.unpack_from(f"={(at + length - numbers) // 8}d", data, numbers)
                yield names[0], tuple(names[1:]), values
            at += length


def _names(key: bytes) -> list[str] | None:
    """The metric's name and the label values; None if ``key_of`` did not make the key."""
    try:
        found = json.loads(key.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and found and all(type(each) is str for each in found) else None


def _numbers_at(key_length: int) -> int:
    """Where a record's numbers begin: after its key, at a multiple of 8."""
    return _HEAD.size + -(-key_length // 8) * 8
