"""The names of things in a store. Pure but for asking what life the store and the database are in.

Every key begins with the namespace and an epoch: a digest of the store's and the database's present life. After a
failover of either, which may have lost a stamp or a commit, every name is another one, so nothing old is ever found.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from tailrace.stores import Store

__all__ = ["Freshness", "Keyspace"]


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
    """Makes keys. One a cache; ``prefix`` costs two attribute look-ups and a comparison."""

    __slots__ = ("_epochs", "_freshness", "_namespace", "_prefix", "_store")

    def __init__(self, namespace: str, store: Store, freshness: Freshness | None) -> None:
        self._namespace = namespace
        self._store = store
        self._freshness = freshness
        self._epochs: tuple[str, str] | None = None
        self._prefix = ""

    @property
    def root(self) -> str:
        """What every key begins with, in any epoch."""
        return self._namespace + ":"

    def prefix(self) -> str | None:
        """What the keys of the present epoch begin with; None when the store or the database is not there."""
        store = self._store.epoch
        database = "" if self._freshness is None else self._freshness.epoch
        if store is None or database is None:
            return None
        epochs = (store, database)
        if epochs != self._epochs:
            digest = blake2b(f"{len(store)}:{store}{database}".encode(), digest_size=6).hexdigest()
            self._prefix = f"{self._namespace}:{digest}:"
            self._epochs = epochs
        return self._prefix
