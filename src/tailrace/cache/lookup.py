"""One answer that is asked for again and again: its names in the store and what is fixed in its entry, prepared.

Touches: the store (``peek`` only), the clock. What is remembered from one time to the next are names, which the epoch
is part of, and the fixed part of the entry last seen, which is compared byte by byte. The value itself is never held
here: the store's bounds are the bounds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.early_refresh import LONGEST_DRAW, Phase, phase
from tailrace.cache.entry import Entry, decode
from tailrace.cache.explain import Explanation, explain
from tailrace.cache.fill import answer_of
from tailrace.cache.keyspace import Keyspace
from tailrace.cache.policy import Answer, CachePolicy
from tailrace.cache.worth import Worth
from tailrace.clock import Clock
from tailrace.core.freshness import STAMP_BYTES, current
from tailrace.errors import StoreUnavailableError
from tailrace.stores import Store
from tailrace.stores.held import Held

__all__ = ["Lookup"]


class Lookup:
    """Looks for one answer in this process. Made by ``Cache.prepare``.

    Args:
        refusal: why the cache must not be used just now, None when it may.
        worth: says whether the store is quick enough to be asked.
        used: told the key of every hit; None when nobody counts.

    Attributes:
        key, policy, tags: what is asked for; ``tags`` are complete.
        start: where the value begins in what ``peek`` gave last.
        held: what looks at the entry and its stamps again; another one whenever they are not the same any more. None:
            ``peek`` has looked at them less than twice.
        created_at, age, ttl: of what it gave last, in seconds; read them before anything else is awaited.
    """

    __slots__ = (
        "_clock",
        "_fixed",
        "_keyspace",
        "_names",
        "_prefix",
        "_read_one",
        "_refusal",
        "_stamps",
        "_store",
        "_surely_fresh_until",
        "_used",
        "_worth",
        "age",
        "created_at",
        "held",
        "key",
        "policy",
        "start",
        "tags",
        "ttl",
    )

    def __init__(
        self,
        key: str,
        policy: CachePolicy,
        tags: tuple[str, ...],
        *,
        store: Store,
        keyspace: Keyspace,
        clock: Clock,
        refusal: Callable[[ReadContext | None, tuple[str, ...]], str | None],
        worth: Worth,
        used: Callable[[str], None] | None,
    ) -> None:
        self.key = key
        self.policy = policy
        self.tags = tags
        self._store = store
        self._read_one = store.reader(clock.monotonic)
        self._keyspace = keyspace
        self._clock = clock
        self._refusal = refusal
        self._worth = worth
        self._used = used
        self._prefix: str | None = None
        self._names: list[str] = []
        self._fixed: bytes | tuple[bytes, ...] = ()  # what nothing begins with
        self._stamps: list[bytes | None] = []
        self._surely_fresh_until = 0.0
        self.held: Held | None = None
        self.start = 0
        self.created_at = self.age = self.ttl = 0.0

    def peek(self, now: float | None = None) -> bytes | None:
        """The entry of a fresh answer as it is stored, if this process holds it and all its stamps, else None.

        Never waits. Cost: 2-3 microseconds.

        Args:
            now: monotonic seconds by the cache's clock, read since the caller last waited for anything, if it has been.
        """
        tags = self.tags
        if tags and self._refusal(current_reads.get(), tags) is not None:
            return None
        prefix = self._keyspace.prefix(database=bool(tags))
        if prefix is None:
            return None
        held = self.held
        data = held(now) if held is not None and prefix is self._prefix else None
        if data is None:
            data = self._look(prefix, now)
            if data is None:
                return None
        wall = self._clock.now()
        created_at = self.created_at
        if not created_at <= wall < self._surely_fresh_until and not self._is_fresh(decode(data), wall):
            return None
        self.age = wall - created_at if wall > created_at else 0.0
        if self._used is not None:
            self._used(self.key)
        return data

    async def find(self) -> Answer | None:
        """``peek``, and where this process does not hold all of it the store is asked. Nothing is computed.

        Cost: one round trip at most.
        """
        data = self.peek()
        if data is not None:
            return self.answer(data)
        prefix = self._keyspace.prefix(database=bool(self.tags))
        if prefix is None or self.refusal() is not None:
            return None
        names = self._keyspace.names(prefix, self.key, self.tags)
        if self._store.peek(names) is not None:
            return None  # it is all held here, and not fresh
        if not self._worth.asking(self.policy.name):
            return None
        try:
            found = await self._store.get(names)
        except StoreUnavailableError:
            return None
        entry, now = decode(found[0]), self._clock.now()
        if entry is not None:
            self._worth.learn(self.policy.name, entry.cost)
        if entry is None or not current(entry.stamps, found[1:]) or not self._is_fresh(entry, now):
            return None
        return answer_of(entry, "hit", now)

    def refusal(self) -> str | None:
        """Why the cache must not be used for this answer just now, None when it may."""
        return self._refusal(current_reads.get(), self.tags)

    def answer(self, data: bytes) -> Answer:
        """What ``peek`` gave just now, as an answer."""
        return Answer(data[self.start :], "hit", self.created_at, self.age, self.ttl)

    async def explain(self) -> Explanation:
        """What a look-up would find now, and why. One round trip at most; nothing is computed or changed."""
        refusal = self.refusal()
        prefix = self._keyspace.prefix(database=bool(self.tags))
        found: Sequence[bytes | None] | None = None
        held_here = False
        if prefix is None:
            refusal = refusal or "epoch"
        else:
            names = self._keyspace.names(prefix, self.key, self.tags)
            held = self._store.peek(names)
            held_here = held is not None and held[0] is not None
            if held is None and not self._worth.asking(self.policy.name):
                refusal = refusal or "slow"
            with suppress(StoreUnavailableError):
                found = held or await self._store.get(names)
        return explain(
            self.key, self.policy, self.tags, found, refusal=refusal, held_here=held_here, now=self._clock.now()
        )

    def _look(self, prefix: str, now: float | None) -> bytes | None:
        """The entry, if it is held here and what it depends on has the stamps that it had."""
        self.held = None
        tags = self.tags
        if prefix is not self._prefix:
            self._prefix = prefix
            self._names = self._keyspace.names(prefix, self.key, tags)
        names = self._names
        found = self._store.peek(names) if tags else [self._read_one(names[0], now)]
        if found is None:
            return None
        data, *stamps = found
        if data is None:
            return None
        known = data.startswith(self._fixed)
        if not (known or self._read(data)) or stamps != self._stamps:
            return None
        if known:
            self.held = self._store.hold(names, found, self._clock.monotonic)
        return data

    def _read(self, data: bytes) -> bool:
        """Take over what is fixed in an entry; False if it is none."""
        entry = decode(data)
        if entry is None:
            return False
        stamps = entry.stamps
        self.start = len(data) - len(entry.value)
        self._fixed = data[: self.start]
        self._stamps = [stamps[at : at + STAMP_BYTES] for at in range(0, len(stamps), STAMP_BYTES)]
        self.created_at = entry.created_at
        self.ttl = entry.ttl
        # No draw refreshes earlier than this, so until then there is nothing to draw.
        earliest = LONGEST_DRAW * max(0.0, entry.cost * self.policy.early_refresh)
        self._surely_fresh_until = entry.created_at + entry.ttl - earliest
        return True

    def _is_fresh(self, entry: Entry | None, now: float) -> bool:
        return entry is not None and phase(entry, self.policy, now, 1.0 - random.random()) is Phase.FRESH  # noqa: S311
