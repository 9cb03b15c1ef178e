"""The form of an entry in a store. Pure.

    version (1 byte), stamps (2 bytes: how many), created_at (float64), ttl (float32), cost (float32), stamps, value

``created_at`` is wall time, since entries are shared between machines; ``cost`` is how long computing took, in seconds.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from tailrace.core.freshness import STAMP_BYTES

__all__ = ["Entry", "decode", "encode"]

VERSION = 2
HEADER = struct.Struct("!BHdff")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored answer. ``stamps`` are those of its tags, joined, as they were before it was computed."""

    stamps: bytes
    created_at: float
    ttl: float
    cost: float
    value: bytes


def encode(entry: Entry) -> bytes:
    """The stored form."""
    count = len(entry.stamps) // STAMP_BYTES
    return HEADER.pack(VERSION, count, entry.created_at, entry.ttl, entry.cost) + entry.stamps + entry.value


def decode(data: bytes | None) -> Entry | None:
    """The entry, or None for what is absent, of another version or damaged: each is a miss."""
    if data is None or len(data) < HEADER.size or data[0] != VERSION:
        return None
    _, count, created_at, ttl, cost = HEADER.unpack_from(data)
    start = HEADER.size + count * STAMP_BYTES
    if len(data) < start or not math.isfinite(created_at + ttl + cost):
        return None
    return Entry(data[HEADER.size : start], created_at, ttl, cost, data[start:])
