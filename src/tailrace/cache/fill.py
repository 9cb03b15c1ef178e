"""Computing an answer and keeping it: once among all processes, or side by side where answers cannot be shared.

Touches: the store, the clock, background tasks that store answers and give leases back. Nothing here decides what may
be served.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

from tailrace.cache.entry import Entry, decode, encode
from tailrace.cache.keyspace import Keyspace
from tailrace.cache.lease import Leases, Outcome
from tailrace.cache.policy import Answer, CachePolicy, Computed, Uncacheable
from tailrace.cache.warm import Recipe
from tailrace.cache.worth import Worth
from tailrace.clock import Clock
from tailrace.errors import StoreUnavailableError
from tailrace.events import CacheFillRefused, CacheStatus, Observer, ValueComputed
from tailrace.settings import CacheSettings
from tailrace.stores import Store
from tailrace.stores.lifetime import LONGEST

__all__ = ["APART", "Asked", "Compute", "Filling", "answer_of"]

Compute = Callable[[], Awaitable[bytes | Computed | Uncacheable]]

APART = 16
"""Most computations of one key side by side, when its answers turn out not to be shareable."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One lookup, with its names in the store."""

    key: str
    entry_key: str
    stamp_keys: tuple[str, ...]
    prefix: str
    tags: tuple[str, ...]
    policy: CachePolicy
    compute: Compute


class Filling:
    """Computes answers and keeps them.

    Args:
        remember: told the recipe of every answer that is kept warm.
        worth: told what computations cost.
    """

    def __init__(
        self,
        store: Store,
        keyspace: Keyspace,
        *,
        settings: CacheSettings,
        clock: Clock,
        observer: Observer | None,
        remember: Callable[[str, Recipe], None],
        worth: Worth,
    ) -> None:
        self._store = store
        self._keyspace = keyspace
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._remember = remember
        self._worth = worth
        self._leases = Leases(store, clock, seconds=settings.lease)
        self._apart: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._ending: set[asyncio.Task[None]] = set()

    async def fill(self, request: Asked, stamps: bytes, *, background: bool) -> Answer:
        """Compute and store; in a shared store only one process does, the others take what it stored.

        There the answer does not wait until it is stored: the entry is on its way when this returns, so that whoever
        asks this process again finds it.
        """
        if not self._store.shared:
            answer, entry = await self._compute(request, stamps, background=background)
            await self._keep(request, entry)
            return answer
        taken: list[Entry] = []

        async def stored() -> bool:
            entry = decode((await self._store.get([request.entry_key]))[0])
            if entry is None or entry.stamps != stamps or entry.created_at + entry.ttl <= self._clock.now():
                return False
            taken.append(entry)
            return True

        outcome: Outcome = "nothing"
        lease = f"{request.prefix}l:{blake2b(stamps, digest_size=8).hexdigest()}:{request.key}"
        owner = os.urandom(12)
        computed: Entry | None = None
        try:
            with suppress(StoreUnavailableError):  # then everyone computes for themselves
                await self._leases.take_or_wait(lease, owner, stored)
            if taken:
                return answer_of(taken[-1], "collapsed", self._clock.now())
            answer, computed = await self._compute(request, stamps, background=background)
            outcome = "stored" if answer.ttl > 0 else "unshared"
        except Exception:
            outcome = "unshared"
            raise
        finally:
            if not taken:  # even if cancelled while taking it: nobody may have to wait for a lease to expire
                self._aside(self._store_and_end(request, computed, lease, owner, outcome))
        await asyncio.sleep(0)  # the entry takes its place on the connection
        return answer

    async def _compute(self, request: Asked, stamps: bytes, *, background: bool) -> tuple[Answer, Entry | None]:
        """The answer, and what is to be stored of it."""
        policy = request.policy
        created_at = self._clock.now()
        result, cost = await self.timed(request.compute, policy, background=background)
        if isinstance(result, Uncacheable):
            return Answer(result.value, "miss", created_at, 0.0, 0.0, result.shareable), None
        ttl = min(LONGEST, result.ttl if isinstance(result, Computed) else policy.ttl)
        value = result.value if isinstance(result, Computed) else result
        ttl *= 1.0 - policy.jitter * random.random()  # noqa: S311
        return Answer(value, "miss", created_at, 0.0, ttl), Entry(stamps, created_at, ttl, cost, value)

    async def _store_and_end(
        self, request: Asked, computed: Entry | None, lease: str, owner: bytes, outcome: Outcome
    ) -> None:
        """Whoever waits for the lease is told after there is something to find."""
        await self._keep(request, computed)
        await self._leases.end(lease, owner, outcome)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _keep(self, request: Asked, entry: Entry | None) -> None:
        if entry is None:
            return
        policy = request.policy
        reason = None
        if len(entry.value) > self._settings.max_value_bytes:
            reason = "too_large"
        elif self._keyspace.prefix(database=bool(request.tags)) != request.prefix:
            reason = "untrusted"  # the store or the database is another one than when the stamps were read
        else:
            try:
                await self._store.set({request.entry_key: encode(entry)}, policy.retention)
            except StoreUnavailableError:
                reason = "error"
            else:
                if policy.warm:
                    self._remember(request.key, Recipe(request.compute, policy, request.tags))
        if reason is not None and self._observer is not None:
            self._observer(CacheFillRefused(policy.name, reason))

    async def timed(
        self, compute: Compute, policy: CachePolicy, *, background: bool
    ) -> tuple[bytes | Computed | Uncacheable, float]:
        """Run ``compute``: what it gave and the seconds it took."""
        began = self._clock.monotonic()
        result = await compute()
        cost = self._clock.monotonic() - began
        self._worth.observe(policy.name, cost)
        if self._observer is not None:
            value = result if isinstance(result, bytes) else result.value
            self._observer(ValueComputed(policy.name, cost, len(value), background))
        return result, cost

    async def apart(self, request: Asked, stamps: bytes) -> Answer:
        """Compute for one caller of many whose answers cannot be shared: side by side, ``APART`` of a key at most."""
        slots = self._apart.setdefault(request.entry_key, asyncio.Semaphore(APART))
        async with slots:
            answer, entry = await self._compute(request, stamps, background=False)
        self._aside(self._keep(request, entry))
        return answer

    async def aclose(self) -> None:
        """Wait until everything is stored and every lease has been given back."""
        await asyncio.gather(*self._ending, return_exceptions=True)


def answer_of(entry: Entry, status: CacheStatus, now: float) -> Answer:
    """A stored entry as an answer; ``now`` is wall time."""
    return Answer(entry.value, status, entry.created_at, max(0.0, now - entry.created_at), entry.ttl)
