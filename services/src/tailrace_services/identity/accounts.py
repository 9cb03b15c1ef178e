"""The rows that say who may ask. Touches: the database, and the cache.

Every request asks, so what is asked of the cache for each holder is prepared once, and what an entry says is read once.
Whether an entry may be used is decided anew each time: a change of the holder's row is known at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import BigInteger, Executable, bindparam, text

from tailrace.cache import Cache, CachePolicy, Uncacheable, read_as
from tailrace.cache.lookup import Lookup
from tailrace.db import Database
from tailrace.events import CacheLookedUp
from tailrace.fastapi import Tailrace
from tailrace_services.plain_sessions import Sessions

__all__ = ["HOLDER", "Account", "Accounts", "CachedAccounts", "PlainAccounts"]

POLICY = CachePolicy("account", ttl=600.0)
MOST = 4096
"""Holders for whom a look-up is kept prepared."""

HIT = CacheLookedUp(POLICY.name, "hit", 0.0)
SECRET = text("SELECT secret FROM tailrace.installation")

HOLDER = bindparam("holder_id", type_=BigInteger())
"""In a statement for an account: whose."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask.

    Attributes:
        holder_id: whoever has the key, or the key itself where somebody may have several.
        key_hash: the SHA-256 of the API key, 64 hex characters.
        email: None for a program.
        user_id: whose key it is, where the holder is the key itself.
        is_administrator: it opens what is for operators.
    """

    holder_id: int
    key_hash: str
    is_active: bool
    email: str | None
    user_id: int | None = None
    is_administrator: bool = False


class Accounts(Protocol):
    """Accounts by their holder's id, and what tokens are signed with."""

    def known(self, holder_id: int) -> Account | None:
        """The account, if that is known without waiting; None says nothing."""
        ...

    async def read(self, holder_id: int) -> Account | None:
        """The account, or None if there is none; ``DatabaseError`` where the database is in trouble."""
        ...

    async def secret(self) -> bytes:
        """What bearer tokens are signed with."""
        ...


class PlainAccounts:
    """``Accounts`` read every time.

    Args:
        find: the statement for the fields of :data:`HOLDER`'s ``Account`` behind the id, as many as the service has.
    """

    def __init__(self, sessions: Sessions, find: Executable) -> None:
        self._sessions = sessions
        self._find = find
        self._secret = secrets.token_bytes(32)

    def known(self, holder_id: int) -> Account | None:
        """Nothing is known without asking the database."""
        return None

    async def read(self, holder_id: int) -> Account | None:
        """One row by primary key."""
        async with self._sessions.begin() as session:
            row = (await session.execute(self._find, {HOLDER.key: holder_id})).one_or_none()
            return None if row is None else Account(holder_id, *tuple(row))

    async def secret(self) -> bytes:
        """Made at the start: tokens are good in this process only."""
        return self._secret


@dataclass(slots=True)
class _Prepared:
    """One holder's look-up, and what its entry last said."""

    lookup: Lookup
    data: bytes = b""
    account: Account | None = None


class CachedAccounts:
    """``Accounts`` from the cache.

    Args:
        tailrace: its cache keeps them, its database has them.
        service: part of the cache's keys, and of what the secret is made from.
        find: as for :class:`PlainAccounts`.
        tags: given a holder's id, what the account depends on.
    """

    def __init__(
        self, tailrace: Tailrace, service: str, find: Executable, tags: Callable[[int], tuple[str, ...]]
    ) -> None:
        self._tailrace = tailrace
        self._service = service
        self._find = find
        self._tags = tags
        self._prepared: dict[int, _Prepared] = {}
        self._of: Cache | None = None
        self._secret: bytes | None = None

    def known(self, holder_id: int) -> Account | None:
        """The account, if this process holds the answer. Never waits. Cost: about 3 microseconds."""
        prepared = self._prepare(holder_id)
        data = prepared.lookup.peek()
        if data is None:
            return None
        if self._tailrace.observer is not None:
            self._tailrace.observer(HIT)
        if data != prepared.data:
            try:
                prepared.account = _read(holder_id, prepared.lookup.answer(data).value)
            except ValueError:  # to be read anew
                prepared.account = None
            prepared.data = data
        return prepared.account

    async def read(self, holder_id: int) -> Account | None:
        """From the cache; a change of the holder's row is known at once."""
        known = self.known(holder_id)
        if known is not None:
            return known
        lookup = self._prepare(holder_id).lookup
        return await read_as(
            self._tailrace.cache,
            lookup.key,
            lambda: self._fetch(holder_id),
            lambda answer: _read(holder_id, answer.value),
            policy=POLICY,
            depends_on=self._tags(holder_id),
        )

    async def secret(self) -> bytes:
        """Made from the database's own: the same in every process, another one for every installation."""
        if self._secret is None:
            (row,) = await self._database.fetch(SECRET)
            self._secret = hmac.digest(bytes(row.secret), f"{self._service} bearer tokens".encode(), hashlib.sha256)
        return self._secret

    async def _fetch(self, holder_id: int) -> bytes | Uncacheable:
        rows = await self._database.fetch(self._find, {HOLDER.key: holder_id})
        if not rows:
            return Uncacheable(b"")  # or anybody could fill the cache with holders that do not exist
        return json.dumps(list(rows[0])).encode()

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    def _prepare(self, holder_id: int) -> _Prepared:
        cache = self._tailrace.cache
        if cache is not self._of or len(self._prepared) > MOST:  # another one after a restart
            self._of = cache
            self._prepared.clear()
        prepared = self._prepared.get(holder_id)
        if prepared is None:
            key = f"{self._service}:account:{holder_id}"
            lookup = cache.prepare(key, policy=POLICY, depends_on=self._tags(holder_id))
            prepared = self._prepared[holder_id] = _Prepared(lookup)
        return prepared


def _read(holder_id: int, value: bytes) -> Account | None:
    """The account that an entry tells of.

    Raises:
        ValueError: it tells of none.
    """
    if not value:
        return None
    try:
        account = Account(holder_id, *json.loads(value))
    except TypeError as error:
        raise ValueError("an account of another form") from error
    if type(account.key_hash) is not str or type(account.is_active) is not bool:
        raise ValueError("an account of another form")
    return account
