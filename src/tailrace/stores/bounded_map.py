"""Bytes by key with a deadline each, within bounds of entries and bytes. Pure: the time is an argument.

What both the memory store and the local copies of the tiered store are made of. A deadline that has passed is
noticed when its key is asked for, and by a patrol: every write looks at the ``PATROL`` entries that nobody looked at
for longest. There is no timer and no sweep over everything, so no pause. Entries replaced or removed leave the
patrol as it passes them: a write adds one and looks at two, so its queue cannot outgrow the entries for long.
"""

from __future__ import annotations

from collections import deque

from tailrace.stores.s3fifo import Entry, S3Fifo

__all__ = ["BoundedMap"]

PATROL = 2
"""Entries examined by each write."""


class BoundedMap:
    """A bounded dictionary whose entries end.

    Readers on the hot path look into ``entries`` themselves: an entry counts only while ``deadline`` lies ahead, and a
    reader raises its ``uses``.

    Args:
        max_entries: most entries.
        max_bytes: most bytes, keys, values and overhead counted.
        max_value_bytes: a larger value is not held.
    """

    __slots__ = ("_max_value_bytes", "_patrol", "_policy", "entries")

    def __init__(self, max_entries: int, max_bytes: int, max_value_bytes: int) -> None:
        self._policy = S3Fifo(max_entries, max_bytes)
        self._max_value_bytes = max_value_bytes
        self._patrol: deque[Entry] = deque()
        self.entries = self._policy.entries

    @property
    def size(self) -> int:
        """Bytes held, overhead included."""
        return self._policy.size

    @property
    def evictions(self) -> int:
        """Entries that left for want of room."""
        return self._policy.evictions

    def put(self, key: str, value: bytes | None, deadline: float, now: float) -> None:
        """Hold ``value`` until ``deadline``; a value too large is not held, and neither is an older one of that key."""
        if value is not None and len(value) > self._max_value_bytes:
            self.remove(key)
            return
        entry = Entry(key, value, deadline)
        if self._policy.insert(entry):
            self._patrol.append(entry)
        self._pass_by(now)

    def remove(self, key: str) -> Entry | None:
        """Let go of ``key``; returns what was held, expired or not."""
        return self._policy.remove(key)

    def clear(self) -> None:
        """Let go of everything."""
        self._policy.clear()
        self._patrol.clear()

    def _pass_by(self, now: float) -> None:
        patrol, entries = self._patrol, self.entries
        for _ in range(min(PATROL, len(patrol))):
            entry = patrol.popleft()
            if entries.get(entry.key) is not entry:
                continue
            if entry.deadline <= now:
                self._policy.remove(entry.key)
            else:
                patrol.append(entry)
