"""Stamps in a store. Touches: the store; randomness handed in.

A stamp is a random value never used before, not a counter: after an eviction a counter would count up to old values
again and bring old entries back to life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tailrace.cache.keyspace import Keyspace
from tailrace.core.freshness import STAMP_BYTES, with_table
from tailrace.errors import StoreUnavailableError
from tailrace.stores import Store

__all__ = ["Stamps"]

MARK_TTL = 10.0
"""Seconds for which it is remembered that a transaction's tags have new stamps: longer than rows wait for removal."""


class Stamps:
    """Reads, creates and replaces stamps.

    Args:
        ttl: seconds for which a stamp is kept; longer than any entry lives.
        random_bytes: gives that many random bytes; ``os.urandom``.
    """

    __slots__ = ("_keyspace", "_random_bytes", "_store", "ttl")

    def __init__(self, store: Store, keyspace: Keyspace, *, ttl: float, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._keyspace = keyspace
        self._random_bytes = random_bytes
        self.ttl = ttl

    @property
    def life(self) -> str | None:
        """Names the life of store and database in which a bump made now would count; None while there is none."""
        return self._keyspace.prefix()

    async def complete(self, keys: Sequence[str], found: Sequence[bytes | None]) -> bytes:
        """The stamps joined, after creating those that are missing. No round trip if none is, else one.

        Raises:
            StoreUnavailableError: the store is down or slow.
        """
        missing = [key for key, stamp in zip(keys, found, strict=True) if stamp is None]
        if not missing:
            return b"".join(found)  # type: ignore[arg-type]
        made = await self._store.add({key: self._random_bytes(STAMP_BYTES) for key in missing}, self.ttl)
        created = dict(zip(missing, made, strict=True))
        return b"".join([created[key] if stamp is None else stamp for key, stamp in zip(keys, found, strict=True)])

    async def bump(self, tags: Iterable[str]) -> str:
        """Give every tag, and the table of each, a new stamp: what carries the old ones is invalid from now on.

        One round trip.

        Returns:
            The ``life`` in which they were written.

        Raises:
            StoreUnavailableError: the store is down or slow; nothing is known to have been written.
        """
        prefix = self._alive()
        await self._store.set(self._new(prefix, with_table(tags)), self.ttl)
        return prefix

    async def bump_once(self, written: Iterable[tuple[int, str]]) -> tuple[str, list[bool]]:
        """The same for tags that transactions have written, unless somebody has done so since they committed.

        Whoever knows of a commit may call it at any moment after the commit, and as often as he likes: one of the calls
        replaces the stamps. A mark for each transaction and tag, made in one step with them, says that it is done;
        it is soon forgotten, since being done twice does no harm. One round trip.

        Args:
            written: transactions and tags, no pair twice.

        Returns:
            The ``life`` in which they were written, and for each pair, in order, whether this call did it.

        Raises:
            StoreUnavailableError: the store is down or slow; nothing is known to have been written.
        """
        prefix = self._alive()
        marks = self._keyspace.stamps(prefix) + "c:"
        groups = {f"{marks}{xid}:{tag}": self._new(prefix, with_table([tag])) for xid, tag in written}
        return prefix, await self._store.set_once(groups, self.ttl, mark_ttl=MARK_TTL)

    def _alive(self) -> str:
        prefix = self._keyspace.prefix()
        if prefix is None:
            raise StoreUnavailableError("the store or the database is not connected")
        return prefix

    def _new(self, prefix: str, tags: Iterable[str]) -> dict[str, bytes]:
        stamps = self._keyspace.stamps(prefix)
        return {f"{stamps}s:{tag}": self._random_bytes(STAMP_BYTES) for tag in tags}
