"""The store protocol: bytes by key, each with a time to live. Pure: a protocol and its value types.

One contract suite (``tests/contract/test_store.py``) runs against every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.stores.held import Held

__all__ = ["Reader", "Store", "StoreStatistics"]


class Reader(Protocol):
    """Gives the value of a key."""

    def __call__(self, key: str, now: float | None = None, /) -> bytes | None:
        """The value that is not over by ``now``.

        Args:
            key: whose value.
            now: monotonic seconds, read since the caller last waited for anything; None: the store reads its clock.
        """
        ...


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """What a store holds and has done since it was made. Sizes in bytes."""

    entries: int = 0
    bytes: int = 0
    hits: int = 0
    misses: int = 0
    evictions: int = 0


class Store(Protocol):
    """Bytes by key. Every key expires; nothing is ever kept without a time to live.

    Every method that may wait raises ``StoreUnavailableError`` when the store is down or slower than its time limit,
    and never anything else; callers treat that as "no cache". Each costs one round trip at most, and calls made in the
    same turn of the event loop share one.
    """

    name: str
    """The adapter's name in events and metrics: memory, valkey, tiered."""

    shared: bool
    """True when other processes see what is written here."""

    @property
    def epoch(self) -> str | None:
        """Names this life of the store's contents; another value means that writes may have been lost.

        None while the store is not connected.
        """
        ...

    @property
    def delay(self) -> float:
        """Seconds that answers take at present, as far as they are late; an estimate, renewed without anybody asking.

        Whoever can do without an answer need not wait for one that comes too late to be of use.
        """
        ...

    async def connect(self) -> bool:
        """Make the first connection now instead of on the first call; True if the store can be used."""
        ...

    def peek(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """The values if all of them are known here and now without waiting, else None.

        A memory store always knows (an absent key is a known ``None`` in the list); a networked store never does; a
        tiered store knows what it holds a tracked copy of. Never raises.
        """
        ...

    def reader(self, monotonic: Callable[[], float] | None = None) -> Reader:
        """What gives the value of one key if this process holds it, else None, whether it is absent or not known.

        For those who ask for single keys often: it is made once and asked without a list. It never waits or raises.

        Args:
            monotonic: what tells the caller the time that it hands in; where the store's is told by something else, or
                it is None, what is handed in is not looked at.
        """
        ...

    def hold(
        self, keys: Sequence[str], values: Sequence[bytes | None], monotonic: Callable[[], float] | None = None
    ) -> Held | None:
        """What gives the first of ``values`` again as long as ``peek`` would give these very ones, without being asked
        for keys; None where that cannot be told, as after one of them has changed.

        Args:
            keys, values: as ``peek`` gave them just now; at least one.
            monotonic: as for ``reader``.
        """
        ...

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of ``keys``; None where there is none."""
        ...

    async def set(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Write all, each to expire after ``ttl`` seconds. When it returns, a ``get`` by anyone sees them."""
        ...

    async def add(self, items: Mapping[str, bytes], ttl: float) -> list[bytes]:
        """Write those that are absent; return what each key now holds, in order. Atomic for each key."""
        ...

    async def set_once(self, groups: Mapping[str, Mapping[str, bytes]], ttl: float, *, mark_ttl: float) -> list[bool]:
        """Write each group unless the key that names it, its mark, is there; leave the mark for ``mark_ttl`` seconds.

        Returns for each group, in order, whether it was written now. Atomic for each: where there is a mark, its group
        was written before.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove; returns how many there were."""
        ...

    async def release(self, key: str, value: bytes) -> bool:
        """Remove ``key`` if it holds ``value``; True if it did. Atomic."""
        ...

    async def fence(self) -> None:
        """After it returns, ``peek`` and ``get`` reflect every write that any process finished before the call."""
        ...

    async def clear(self, prefix: str) -> int:
        """Remove every key that begins with ``prefix``, in steps that block nobody; returns how many."""
        ...

    async def expired(self, *, remove: bool = False) -> int:
        """How many of the entries held in this process have expired without anybody coming by; with ``remove`` they go.

        In steps that block nobody.
        """
        ...

    def statistics(self) -> StoreStatistics:
        """Figures of this process's part of the store."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and tasks. Idempotent."""
        ...
