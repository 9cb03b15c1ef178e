"""A store in this process's memory. Touches: the clock and the random source it is given.

Always knows, never waits, shared with nobody: right for one process, and for tests. Its contents die with it, so its
epoch is drawn anew each time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from tailrace.clock import Clock, SystemClock
from tailrace.settings import CacheSettings
from tailrace.stores.bounded_map import BoundedMap
from tailrace.stores.expired import STEP, count_expired
from tailrace.stores.held import Held, hold
from tailrace.stores.lifetime import lifetime
from tailrace.stores.s3fifo import MOST_USES, Entry
from tailrace.stores.store import Reader, StoreStatistics

__all__ = ["MemoryStore"]


class MemoryStore:
    """Bytes by key in memory, bounded by entries and bytes; S3-FIFO decides what leaves.

    A value larger than ``max_value_bytes``, or than all the room, is not held; an older one of its key is dropped then.

    Args:
        settings: ``memory_entries``, ``memory_bytes`` and ``max_value_bytes``.
        clock: tells the time.
        draw_epoch: names this life of the store; by default 128 random bits.
    """

    name = "memory"
    shared = False
    trusted = True

    def __init__(
        self,
        settings: CacheSettings | None = None,
        *,
        clock: Clock | None = None,
        draw_epoch: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        settings = settings or CacheSettings()
        self._clock = clock or SystemClock()
        self._monotonic = self._clock.monotonic
        self._map = BoundedMap(settings.memory_entries, settings.memory_bytes, settings.max_value_bytes)
        self._find = self._map.entries.get
        self._epoch = draw_epoch()
        self._asked = 0
        self._misses = 0
        self._seen_again = [0.0]
        self._read, self._count_read = _reading(self._map.entries, self._monotonic, self._absent)

    @property
    def epoch(self) -> str | None:
        """Drawn at the start; the contents cannot be lost while it lasts."""
        return self._epoch

    @property
    def delay(self) -> float:
        """Nothing waits."""
        return 0.0

    async def connect(self) -> bool:
        """Always there."""
        return True

    def peek(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values, always known. Cost: 0.2 us, and 0.1 us a key."""
        now = self._monotonic()
        find = self._find
        values: list[bytes | None] = []
        for key in keys:
            entry = find(key)
            if entry is not None and entry.deadline > now:
                if entry.uses < MOST_USES:
                    entry.uses += 1
                values.append(entry.value)
                continue
            if entry is not None:
                self._map.remove(key)
            self._misses += 1
            values.append(None)
        self._asked += len(values)
        return values

    def reader(self, monotonic: Callable[[], float] | None = None) -> Reader:
        """Gives the value of a key, always known. Cost: 0.09 us, and the clock where no time is handed in."""
        if monotonic == self._monotonic:
            return self._read
        read = self._read
        return lambda key, now=None: read(key)

    def hold(
        self, keys: Sequence[str], values: Sequence[bytes | None], monotonic: Callable[[], float] | None = None
    ) -> Held | None:
        """Gives the first of ``values`` again while all are held."""
        return hold(
            self._map.entries,
            keys,
            values,
            while_=self,
            monotonic=self._monotonic,
            by=monotonic,
            counted=self._seen_again,
        )

    def _absent(self, key: str, now: float | None = None) -> bytes | None:
        """By the store's clock, which is not behind what was handed in."""
        return self.peek((key,))[0]

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of ``keys``. Does not wait."""
        return self.peek(keys)

    async def set(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Write all, each to expire after ``ttl`` seconds (one millisecond at least). Does not wait."""
        now = self._monotonic()
        deadline = now + lifetime(ttl)
        for key, value in items.items():
            self._map.put(key, value, deadline, now)

    async def add(self, items: Mapping[str, bytes], ttl: float) -> list[bytes]:
        """Write those that are absent; return what each key now holds. Does not wait, hence atomic."""
        now = self._monotonic()
        deadline = now + lifetime(ttl)
        held: list[bytes] = []
        for key, value in items.items():
            entry = self._map.entries.get(key)
            if entry is None or entry.deadline <= now or entry.value is None:
                self._map.put(key, value, deadline, now)
                held.append(value)
            else:
                held.append(entry.value)
        return held

    async def set_once(self, groups: Mapping[str, Mapping[str, bytes]], ttl: float, *, mark_ttl: float) -> list[bool]:
        """Write each group whose mark is absent, and the mark. Does not wait, hence atomic."""
        written = []
        for mark, items in groups.items():
            new = self.peek([mark]) == [None]
            if new:
                await self.set(items, ttl)
                await self.set({mark: b""}, mark_ttl)
            written.append(new)
        return written

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove; returns how many there were."""
        now = self._monotonic()
        removed = [self._map.remove(key) for key in keys]
        return sum(entry is not None and entry.deadline > now for entry in removed)

    async def release(self, key: str, value: bytes) -> bool:
        """Remove ``key`` if it holds ``value``."""
        entry = self._map.entries.get(key)
        if entry is None or entry.deadline <= self._monotonic() or entry.value != value:
            return False
        self._map.remove(key)
        return True

    async def fence(self) -> None:
        """Nothing to wait for: a write is seen as soon as it is made."""

    async def clear(self, prefix: str) -> int:
        """Remove every key that begins with ``prefix``, letting others in every ``STEP`` keys."""
        cleared = 0
        for position, key in enumerate(list(self._map.entries), start=1):
            if key.startswith(prefix):
                cleared += await self.delete([key])
            if position % STEP == 0:
                await self._clock.sleep(0)
        return cleared

    async def expired(self, *, remove: bool = False) -> int:
        """How many entries have expired without anybody coming by; with ``remove`` they go."""
        return await count_expired(self._map, self._clock, remove=remove)

    def statistics(self) -> StoreStatistics:
        """Entries and bytes held (expired ones that nobody came by yet included), hits, misses and evictions by key."""
        return StoreStatistics(
            entries=len(self._map.entries),
            bytes=self._map.size,
            hits=self._asked - self._misses + self._count_read() + int(self._seen_again[0]),
            misses=self._misses,
            evictions=self._map.evictions,
        )

    async def aclose(self) -> None:
        """Let go of everything held."""
        self._map.clear()


def _reading(
    entries: Mapping[str, Entry], monotonic: Callable[[], float], absent: Reader
) -> tuple[Reader, Callable[[], int]]:
    """What reads single keys, and what tells how often it found one.

    A closure, since the attributes of a method would cost as much as the look-up.

    Args:
        absent: asked for a key that is not there any more.
    """
    found = 0.0  # exact up to 2**53, and quicker to add to than a whole number

    def read(key: str, now: float | None = None) -> bytes | None:
        nonlocal found
        try:
            entry = entries[key]
        except KeyError:
            return absent(key)
        if entry.deadline <= (monotonic() if now is None else now):
            return absent(key)
        if entry.uses < MOST_USES:
            entry.uses += 1
        found += 1.0
        return entry.value

    return read, lambda: int(found)
