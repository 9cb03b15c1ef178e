"""The names of things in a store. Pure but for asking what life the store and the database are in.

Every key begins with the namespace and an epoch: a digest of the store's and the database's present life. After a
failover of either, which may have lost a stamp or a commit, every name is another one, so nothing old is ever found.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Protocol

from tailrace.stores import Store

__all__ = ["Freshness", "Keyspace"]

STAMPS = "tailrace"
"""What the keys of stamps begin with, in every namespace."""


class Freshness(Protocol):
    """What a cache must know of the database; ``tailrace.db`` has the real one."""

    @property
    def epoch(self) -> str | None:
        """Names this life of the database; None while it is not known."""
        ...

    def trusted(self) -> bool:
        """True while every commit older than the bound is reflected in the stamps this process sees."""
        ...


class Keyspace:
    """Makes keys. One a cache; ``prefix`` costs two attribute look-ups and a comparison.

    Entries are each application's own. Stamps are not: they say what became of a database, its outbox is read by
    whoever comes first, and so what one application stamps must hold for all.
    """

    __slots__ = ("_epoch", "_freshness", "_known", "_life", "_namespace", "_prefix", "_store")

    def __init__(self, namespace: str, store: Store, freshness: Freshness | None) -> None:
        self._namespace = namespace
        self._store = store
        self._freshness = freshness
        self._known: dict[tuple[str, str], str] = {}
        self._epoch = self._life = ""  # of the prefix that was wanted last
        self._prefix = ""

    @property
    def root(self) -> str:
        """What every key begins with, in any epoch."""
        return self._namespace + ":"

    def prefix(self, *, database: bool = True) -> str | None:
        """What the keys of the present epoch begin with; None when the store or the database is not there.

        Args:
            database: False for what does not depend on the database, which then need not be there.
        """
        epoch = self._store.epoch
        life = "" if self._freshness is None or not database else self._freshness.epoch
        if epoch is None or life is None:
            return None
        if self._prefix and epoch == self._epoch and life == self._life:
            return self._prefix
        found = self._known.get((epoch, life))
        if found is None:
            digest = blake2b(f"{len(epoch)}:{epoch}{life}".encode(), digest_size=6).hexdigest()
            if len(self._known) > 8:
                self._known.clear()
            found = self._known[epoch, life] = f"{self._namespace}:{digest}:"
        self._epoch, self._life, self._prefix = epoch, life, found
        return found

    def stamps(self, prefix: str) -> str:
        """What the keys of stamps begin with where those of entries begin with ``prefix``."""
        return STAMPS + prefix[len(self._namespace) :]

    def names(self, prefix: str, key: str, tags: Iterable[str]) -> list[str]:
        """The keys of an entry and of the stamps that it is valid under, where entries begin with ``prefix``."""
        stamps = self.stamps(prefix)
        return [f"{prefix}e:{key}", *[f"{stamps}s:{tag}" for tag in tags]]
