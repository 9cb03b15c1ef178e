"""S3-FIFO: which entry leaves when the memory is full. Pure.

Three FIFO queues. A new key enters *small* (a tenth of the room); what is not asked for twice before it reaches the
end of it leaves and is remembered in *ghost* by the hash of its key alone, as many keys as main has room for. A key
that is asked for twice there, or comes back while remembered, lives in *main*, where each use (up to three are counted)
buys one more round. A hit only counts a use: it moves nothing, which is why it costs next to nothing.

Two departures from the paper. The bounds are entries and bytes at once, and a queue's share is the larger of the
two. And an eviction grants at most ``SECOND_CHANCES`` more rounds before it takes the oldest entry whatever its
uses: the paper's loop is cheap on average, but a single write could go round the whole of a hot main queue while the
event loop waits.

**Source:** Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1.
"""

from __future__ import annotations

import sys
from collections import OrderedDict

__all__ = ["ENTRY_OVERHEAD", "MOST_USES", "Entry", "S3Fifo"]

MOST_USES = 3
"""Uses beyond this many are not counted."""
SMALL_SHARE = 10
"""The small queue may take one part in this many of the room before it gives way."""
SECOND_CHANCES = 128
"""Most entries one eviction lets stay."""
ENTRY_OVERHEAD = 450
"""Bytes an entry takes besides key and value: the object, its places in index, queue, patrol and ghost."""


class Entry:
    """A key, its value and what the policy must know.

    ``value`` None is a key known to be absent. ``deadline`` is the owner's business. ``uses`` is raised by the owner on
    a hit, up to ``MOST_USES``. An entry that has left holds no value any more.
    """

    __slots__ = ("deadline", "key", "main", "size", "uses", "value")

    def __init__(self, key: str, value: bytes | None, deadline: float) -> None:
        self.key = key
        self.value = value
        self.deadline = deadline
        self.size = ENTRY_OVERHEAD + sys.getsizeof(key) + (0 if value is None else sys.getsizeof(value))
        self.uses = 0
        self.main = False


class S3Fifo:
    """Entries by key within two bounds.

    Args:
        max_entries: most entries.
        max_bytes: most bytes, by ``Entry.size``.
    """

    __slots__ = (
        "_ghost",
        "_main",
        "_max_bytes",
        "_max_entries",
        "_small",
        "_small_bytes",
        "entries",
        "evictions",
        "size",
    )

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.size = 0
        self.evictions = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._small: OrderedDict[str, Entry] = OrderedDict()
        self._main: OrderedDict[str, Entry] = OrderedDict()
        self._ghost: OrderedDict[int, None] = OrderedDict()
        self._small_bytes = 0

    def insert(self, entry: Entry) -> bool:
        """Take ``entry`` in, in place of one of the same key; others leave to make room.

        Returns:
            False if it is larger than all the room there is; it is not held then, nor is an older one of its key.

        Cost: O(1) and at most ``SECOND_CHANCES`` steps for each entry that leaves.
        """
        previous = self.remove(entry.key)
        if entry.size > self._max_bytes:
            return False
        while len(self.entries) >= self._max_entries or self.size + entry.size > self._max_bytes:
            self._evict()
        # Written again is not forgotten: the key keeps the standing it had earned.
        known = hash(entry.key)
        if previous is not None:
            entry.uses, entry.main = previous.uses, previous.main
        elif known in self._ghost:
            del self._ghost[known]
            entry.main = True
        self.entries[entry.key] = entry
        self.size += entry.size
        self._enqueue(entry)
        return True

    def remove(self, key: str) -> Entry | None:
        """Let go of ``key`` and, at once, of its value; returns the entry. Cost: O(1)."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return None
        entry.value = None
        self.size -= entry.size
        if entry.main:
            del self._main[key]
        else:
            del self._small[key]
            self._small_bytes -= entry.size
        return entry

    def clear(self) -> None:
        """Let go of everything, also of what is remembered of keys that left. Cost: O(n)."""
        for entry in self.entries.values():
            entry.value = None
        self.entries.clear()
        self._small.clear()
        self._main.clear()
        self._ghost.clear()
        self.size = self._small_bytes = 0

    def _enqueue(self, entry: Entry) -> None:
        if entry.main:
            self._main[entry.key] = entry
        else:
            self._small[entry.key] = entry
            self._small_bytes += entry.size

    def _evict(self) -> None:
        """Make one entry leave."""
        self.evictions += 1
        small_is_due = self._small_is_due()
        for _ in range(SECOND_CHANCES):
            if small_is_due and self._small:
                entry = next(iter(self._small.values()))
                if entry.uses <= 1:
                    self._forget(entry)
                    return
                self._promote(entry)
                small_is_due = not self._main_is_over()
            else:
                entry = next(iter(self._main.values()))
                if entry.uses == 0:
                    self.remove(entry.key)
                    return
                entry.uses -= 1
                self._main.move_to_end(entry.key)
        oldest = self._small if self._small_is_due() else self._main
        self.remove(next(iter(oldest)))

    def _small_is_due(self) -> bool:
        if not self._main:
            return True
        if not self._small:
            return False
        return len(self._small) * SMALL_SHARE >= self._max_entries or self._small_bytes * SMALL_SHARE >= self._max_bytes

    def _main_is_over(self) -> bool:
        """True if main has more than what small is to leave it."""
        rest, main_bytes = SMALL_SHARE - 1, self.size - self._small_bytes
        return (
            len(self._main) * SMALL_SHARE > self._max_entries * rest
            or main_bytes * SMALL_SHARE > self._max_bytes * rest
        )

    def _promote(self, entry: Entry) -> None:
        del self._small[entry.key]
        self._small_bytes -= entry.size
        entry.main = True
        entry.uses = 0
        self._main[entry.key] = entry

    def _forget(self, entry: Entry) -> None:
        self.remove(entry.key)
        self._ghost[hash(entry.key)] = None
        while len(self._ghost) * SMALL_SHARE > len(self.entries) * (SMALL_SHARE - 1):
            self._ghost.popitem(last=False)
