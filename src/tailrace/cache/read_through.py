"""The cache: look up, else compute once and keep. Touches: the store, the clock.

Freshness, identity and stampedes are decided here and nowhere else. The order of things matters and is this:

1. entry and stamps are read together (one round trip, none when this process holds tracked copies);
2. an entry is served only if the stamps it carries are the current ones;
3. else a flight begins, named by the key *and* the stamps: a caller that comes after a bump has other stamps and never
   shares a computation that began before it;
4. the computed value is stored under the stamps read in step 1, before the first statement ran. If a commit changed
   them meanwhile, the entry is invalid from birth, without any lock.

Whenever the store, the database's life or the horizon is not certain, the answer is computed (status ``bypass``), and
so it is while the store takes longer to answer than it is worth (``worth``).

**Source:** the protocol of ``docs/explanation/freshness.md``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Sequence

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.early_refresh import Phase, phase
from tailrace.cache.entry import Entry, decode
from tailrace.cache.fill import Asked, Compute, Filling, answer_of
from tailrace.cache.flights import Flights
from tailrace.cache.keyspace import Freshness, Keyspace
from tailrace.cache.lookup import Lookup
from tailrace.cache.policy import Answer, CachePolicy
from tailrace.cache.stamps import Stamps
from tailrace.cache.warm import Recipe, Warmer
from tailrace.cache.worth import Worth
from tailrace.clock import Clock, SystemClock
from tailrace.core.freshness import current, with_wide
from tailrace.errors import StoreUnavailableError
from tailrace.events import CacheBypassed, CacheLookedUp, Observer
from tailrace.settings import CacheSettings, FreshnessSettings
from tailrace.stores import Store

__all__ = ["Cache", "Compute"]

TAG_SETS = 10_000
"""Most tag tuples whose completed form is remembered."""


class Cache:
    """Read-through cache over any store.

    Args:
        store: where entries and stamps live.
        freshness: what is known of the database; None where answers depend on no database.
        settings: sizes and times.
        stamp_ttl: seconds for which stamps are kept.
        clock: time.
        observer: receives cache events.

    Keys must contain everything the answer depends on but its tags: above all whose answer it is.
    """

    def __init__(
        self,
        store: Store,
        *,
        freshness: Freshness | None = None,
        settings: CacheSettings | None = None,
        stamp_ttl: float | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.store = store
        self.settings = settings or CacheSettings()
        self.freshness = freshness
        self.keyspace = Keyspace(self.settings.namespace, store, freshness)
        self._clock = clock or SystemClock()
        self._observer = observer
        ttl = FreshnessSettings().stamp_ttl if stamp_ttl is None else stamp_ttl
        self.stamps = Stamps(store, self.keyspace, ttl=ttl, random_bytes=os.urandom)
        self.worth = Worth(store)
        self._tag_sets: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.warmer = Warmer(self._warm)
        filling = Filling(
            store,
            self.keyspace,
            settings=self.settings,
            clock=self._clock,
            observer=observer,
            remember=self.warmer.remember,
            worth=self.worth,
        )
        self._flights = Flights(filling, clock=self._clock, observer=observer)

    @property
    def monotonic(self) -> Callable[[], float]:
        """What tells the time that may be handed in to look-ups."""
        return self._clock.monotonic

    # --- reading -----------------------------------------------------------------------------------------------------

    def peek(self, key: str, *, policy: CachePolicy, depends_on: Iterable[str] = ()) -> Answer | None:
        """A fresh answer if this process holds it and all its stamps, else None. Never waits, never computes."""
        lookup = self.prepare(key, policy=policy, depends_on=depends_on)
        data = lookup.peek()
        if data is None:
            return None
        if self._observer is not None:
            self._observer(CacheLookedUp(policy.name, "hit", 0.0))
        return lookup.answer(data)

    def prepare(self, key: str, *, policy: CachePolicy, depends_on: Iterable[str] = ()) -> Lookup:
        """``peek`` for one answer that is asked for again and again; whoever uses it reports the hits."""
        return Lookup(
            key,
            policy,
            self._complete(depends_on),
            store=self.store,
            keyspace=self.keyspace,
            clock=self._clock,
            refusal=self._refusal,
            worth=self.worth,
            used=self.warmer.used if policy.warm else None,
        )

    async def look(self, keys: Sequence[str], *, policy: CachePolicy) -> dict[str, Answer]:
        """What is held of answers that depend on no table and have not expired, by key; nothing is computed.

        For whoever cannot compute just now, and would wait in vain for others to. The store being down or slow gives
        nothing.

        Cost: one round trip for all, none if this process holds them.
        """
        prefix = self.keyspace.prefix(database=False)
        if prefix is None:
            return {}
        names = [f"{prefix}e:{key}" for key in keys]
        found = self.store.peek(names)
        if found is None and not self.worth.asking(policy.name):
            return {}
        try:
            found = found or await self.store.get(names)
        except StoreUnavailableError:
            return {}
        now = self._clock.now()
        held: dict[str, Answer] = {}
        for key, data in zip(keys, found, strict=True):
            entry = decode(data)
            if entry is not None:
                self.worth.learn(policy.name, entry.cost)
            part = Phase.EXPIRED if entry is None else phase(entry, policy, now, 1.0)
            if entry is not None and part is not Phase.EXPIRED:
                held[key] = answer_of(entry, "stale" if part is Phase.STALE else "hit", now)
        if self._observer is not None:
            for answer in held.values():
                self._observer(CacheLookedUp(policy.name, answer.status, 0.0))
        return held

    async def read_through(
        self, key: str, compute: Compute, *, policy: CachePolicy, depends_on: Iterable[str] = ()
    ) -> Answer:
        """The cached answer, or the one that ``compute`` gives, once for all who ask at the same time.

        Args:
            key: names the answer, with the identity it belongs to.
            compute: gives the value; runs outside any transaction of the caller's.
            policy: how long and how.
            depends_on: tags, as ``tailrace.core.freshness.tag`` makes them. An answer that reads a table which is not
                named here is not kept fresh.

        Raises:
            Whatever ``compute`` raises. The store being down or slow is never an error.

        Cost: no round trip on a hit that this process holds, one on a hit in the shared store.
        """
        began = self._clock.monotonic()
        answer = await self._read_through(key, compute, policy, self._complete(depends_on))
        self._looked_up(policy, answer, began)
        return answer

    async def read_in_place(
        self, key: str, compute: Compute, *, policy: CachePolicy, depends_on: Iterable[str] = ()
    ) -> Answer | None:
        """``read_through`` for a computation that must run in the caller's own task, and end with it.

        Returns:
            None if the cache cannot be used, or somebody else's computation failed or is not to be shared: the caller
            goes on without the cache.

        Raises:
            Whatever ``compute`` raises. The store being down or slow is never an error.
        """
        began = self._clock.monotonic()
        found = await self._look_up(key, compute, policy, self._complete(depends_on))
        if isinstance(found, str):
            return None
        answer = found if isinstance(found, Answer) else await self._flights.join_in_place(found[0], found[1])
        if answer is not None:
            self._looked_up(policy, answer, began)
        return answer

    async def _read_through(self, key: str, compute: Compute, policy: CachePolicy, tags: tuple[str, ...]) -> Answer:
        found = await self._look_up(key, compute, policy, tags)
        if isinstance(found, Answer):
            return found
        if isinstance(found, str):  # a transaction's own uncommitted writes are nobody else's to see
            return await self._flights.bypass(key, compute, policy, alone=found == "transaction")
        request, stamps, expired = found
        try:
            return await self._flights.join(request, stamps)
        except Exception:
            if expired is not None and await self._may_serve_on_error(request, expired):
                return answer_of(expired, "stale", self._clock.now())
            raise

    async def _look_up(
        self, key: str, compute: Compute, policy: CachePolicy, tags: tuple[str, ...]
    ) -> Answer | tuple[Asked, bytes, Entry | None] | str:
        """What is held; else what is asked for, the stamps to keep it under and what has expired; else why not."""
        refusal = self._refusal(current_reads.get(), tags)
        prefix = self.keyspace.prefix(database=bool(tags))
        if refusal is not None or prefix is None:
            return self._bypassed(policy, refusal or "epoch")
        names = self.keyspace.names(prefix, key, tags)
        request = Asked(key, names[0], tuple(names[1:]), prefix, tags, policy, compute)
        held = self.store.peek(names)
        if held is None and not self.worth.asking(policy.name):
            return self._bypassed(policy, "slow")
        try:
            found = held or await self.store.get(names)
            entry = decode(found[0])
            if entry is not None:
                self.worth.learn(policy.name, entry.cost)
            if entry is not None and current(entry.stamps, found[1:]):
                served = self._serve(request, entry)
                if served is not None:
                    return served
            else:
                entry = None
            if not self.worth.asking(policy.name):  # an answer that is not kept need not wait for stamps and a lease
                return self._bypassed(policy, "slow")
            stamps = await self.stamps.complete(request.stamp_keys, found[1:])
        except StoreUnavailableError:
            return self._bypassed(policy, "store")
        return request, stamps, entry

    def _bypassed(self, policy: CachePolicy, reason: str) -> str:
        if self._observer is not None:
            self._observer(CacheBypassed(policy.name, reason))
        return reason

    def _looked_up(self, policy: CachePolicy, answer: Answer, began: float) -> None:
        if self._observer is not None:
            self._observer(CacheLookedUp(policy.name, answer.status, self._clock.monotonic() - began))

    def _refusal(self, reads: ReadContext | None, tags: tuple[str, ...]) -> str | None:
        """Why the cache must not be used just now, or None; what depends on nothing may always be."""
        if not tags:
            return None
        if reads is not None and (reads.bypass or reads.writing):
            return "token" if reads.bypass else "transaction"
        if self.freshness is not None and not self.freshness.trusted():
            return "horizon"
        return None

    def _serve(self, request: Asked, entry: Entry) -> Answer | None:
        """The entry as an answer, refreshed in the background if it is time; None when it has expired."""
        now = self._clock.now()
        part = phase(entry, request.policy, now, 1.0 - random.random())  # noqa: S311
        if part is Phase.EXPIRED:
            return None
        if part is not Phase.FRESH:
            self._flights.refresh(request, entry)
        if request.policy.warm:
            self.warmer.used(request.key)
        return answer_of(entry, "stale" if part is Phase.STALE else "hit", now)

    async def _may_serve_on_error(self, request: Asked, entry: Entry) -> bool:
        """True if time alone has ended ``entry``, not too long ago: a commit may have come while it was computed."""
        if self._clock.now() - entry.created_at - entry.ttl >= request.policy.stale_if_error:
            return False
        if not request.tags:
            return True
        if self._refusal(current_reads.get(), request.tags) is not None or self.keyspace.prefix() != request.prefix:
            return False
        try:
            return current(entry.stamps, await self.store.get(request.stamp_keys))
        except StoreUnavailableError:
            return False

    async def _warm(self, key: str, recipe: Recipe) -> None:
        """Compute what a recipe tells, unless it could not be kept: a database in trouble is left in peace."""
        tags = self._complete(recipe.depends_on)
        if self._refusal(None, tags) is None and self.keyspace.prefix(database=bool(tags)) is not None:
            await self.read_through(key, recipe.compute, policy=recipe.policy, depends_on=tags)

    # --- changing ----------------------------------------------------------------------------------------------------

    async def invalidate(self, tags: Iterable[str]) -> None:
        """End the life of everything that depends on ``tags``. One round trip, however much that is.

        Raises:
            StoreUnavailableError: the store is down or slow; what it holds may still be served.
        """
        await self.stamps.bump(tags)

    async def held(self, key: str, depends_on: Iterable[str] = ()) -> bytes | None:
        """The stored value, if what it depends on has not changed since it was computed. One round trip.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        tags = self._complete(depends_on)
        prefix = self.keyspace.prefix(database=bool(tags))
        if prefix is None:
            return None
        found = await self.store.get(self.keyspace.names(prefix, key, tags))
        entry = decode(found[0])
        return entry.value if entry is not None and current(entry.stamps, found[1:]) else None

    async def forget(self, key: str) -> bool:
        """Remove one answer.

        Returns:
            Whether there was one.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        prefixes = {self.keyspace.prefix(database=database) for database in (True, False)} - {None}
        return bool(prefixes) and await self.store.delete([f"{prefix}e:{key}" for prefix in prefixes]) > 0

    async def clear(self, prefix: str = "") -> int:
        """Remove the answers whose keys begin so; without a prefix everything of this namespace, in any epoch.

        Returns:
            How many keys.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        if not prefix:
            return await self.store.clear(self.keyspace.root)
        roots = {self.keyspace.prefix(database=database) for database in (True, False)} - {None}
        return sum([await self.store.clear(f"{root}e:{prefix}") for root in roots])

    async def aclose(self) -> None:
        """End what runs in the background; give back the leases it holds. The store is its maker's to close."""
        await self.warmer.aclose()
        await self._flights.aclose()

    def _complete(self, depends_on: Iterable[str]) -> tuple[str, ...]:
        given = tuple(depends_on)
        completed = self._tag_sets.get(given)
        if completed is None:
            if len(self._tag_sets) >= TAG_SETS:
                self._tag_sets.clear()
            completed = self._tag_sets[given] = with_wide(given)
        return completed
