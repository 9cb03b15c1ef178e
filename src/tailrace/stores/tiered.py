"""Valkey, with copies in this process that the server keeps right. Touches: the network, the clock.

The server remembers which keys a tracked connection has read, absent ones too, and sends a push message when one of
them changes, expires, or has to be forgotten for want of room in its table. Replies and pushes share the one
connection, in the order in which the server made them. Hence the rules, on which every answer from a copy rests:

1. *No value enters behind its invalidation.* A read lays a token on each of its keys before it is sent; whatever
   invalidates a key takes the token away; a value is kept only by a read whose token still lies there. So a value is
   held only if no push for its key was processed since the read left, and the read itself registered the key for the
   next.
2. *The server cannot push what it did not see.* Whatever ends the connection drops every copy and every token at
   once. From a call that is overdue until one made later has been answered, nothing is answered from copies.
3. *Own writes* take the copy and the tokens before they are sent: no read that left earlier can put the old
   value back after the write has returned. A read that leaves later reads the new value, and the push that the write
   causes precedes its reply.
4. *A copy never outlives the server's key.* The remaining time is asked for with the value (``PTTL`` right behind
   ``MGET``; a change between the two sends its push before the second reply, which rule 1 covers) and counted from
   before the question was sent. Pushes about expiry may be as late as the server likes.
5. *A fence is a round trip on this connection.* A write that another client has finished was executed before the
   PING, so its push lies before the PONG. Only calls that leave in the same write share one: a PING already under
   way may have been executed before the newcomer's writer was done.

6. *A read is a fence for the copies beside it.* ``get`` asks for what is not held. For the rest it takes copies if they
   are the very ones that were held before it asked: by rule 5 they are the server's values of the moment at which it
   read the others. Where one has ended meanwhile, all is read.

``get`` always asks the server and so sees every write that has returned anywhere; only ``peek`` answers without.

``NOLOOP`` would save the push that an own write causes, and rule 3 alone would keep the copies right. It is left
off: a push too many costs a microsecond, and with it a mistake in rule 3 heals at once.

**Source:** Valkey documentation, "Client-side caching reference".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tailrace.clock import Clock, SystemClock
from tailrace.events import Observer
from tailrace.settings import CacheSettings, ValkeySettings
from tailrace.stores.bounded_map import BoundedMap
from tailrace.stores.expired import count_expired
from tailrace.stores.held import Held, hold
from tailrace.stores.lifetime import LONGEST
from tailrace.stores.s3fifo import MOST_USES, Entry
from tailrace.stores.store import Reader, StoreStatistics
from tailrace.stores.valkey import ValkeyStore

__all__ = ["TieredStore"]

ABSENT = -2
"""What PTTL answers for a key that is not there."""
ENDLESS = -1
"""What PTTL answers for a key without a time to live: another program wrote it."""


class TieredStore:
    """Bytes by key on a Valkey or Redis server, with tracked copies in this process.

    Args:
        url: see ``tailrace.stores.address``.
        settings: ``memory_entries``, ``memory_bytes`` and ``max_value_bytes`` bound the copies, not the server.
        valkey: time limits of the connection.
        clock: tells when copies end and times the calls.
        observer: hears ``StoreCalled`` and ``StoreConnectionChanged``; an answer from copies is no call.
        tls: for ``rediss``; by default the system's authorities are trusted.

    Raises:
        SettingsError: the URL is wrong.
        MissingExtraError: hiredis is not installed.
    """

    name = "tiered"
    shared = True

    def __init__(
        self,
        url: str,
        *,
        settings: CacheSettings | None = None,
        valkey: ValkeySettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        settings = settings or CacheSettings()
        self._clock = clock = clock or SystemClock()
        self._monotonic = clock.monotonic
        self._copies = BoundedMap(settings.memory_entries, settings.memory_bytes, settings.max_value_bytes)
        self._reading: dict[str, object] = {}
        self._fencing: asyncio.Future[list[Any]] | None = None
        self._fenced_write = -1
        self._hits = 0
        self._misses = 0
        self._seen_again = [0.0]
        self._remote = ValkeyStore(
            url, settings=valkey, clock=clock, observer=observer, tls=tls, listener=self, name=self.name
        )
        self._link = self._remote.link

    def __repr__(self) -> str:
        return repr(self._remote).replace("ValkeyStore", "TieredStore")

    @property
    def epoch(self) -> str | None:
        """The primary's replication id, read on each connection before it is used; None while there is none."""
        return self._link.epoch

    @property
    def delay(self) -> float:
        """As the connection has seen it, by the calls since the last heartbeat."""
        return self._link.delay

    async def connect(self) -> bool:
        """Make the first attempt now instead of on the first call; True if there is a connection."""
        return await self._remote.connect()

    def peek(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """The values if this process holds a copy of all. Cost: about 0.1 us a key."""
        if not self._link.trusted:
            return None
        now = self._monotonic()
        find = self._copies.entries.get
        values: list[bytes | None] = []
        for key in keys:
            entry = find(key)
            if entry is None or entry.deadline <= now:
                return None
            if entry.uses < MOST_USES:
                entry.uses += 1
            values.append(entry.value)
        self._hits += len(values)
        return values

    def reader(self, monotonic: Callable[[], float] | None = None) -> Reader:
        """Gives the copy of a key, if there is one."""

        find, link, own = self._copies.entries.get, self._link, self._monotonic
        trusts = monotonic == own

        def read(key: str, now: float | None = None) -> bytes | None:
            entry = find(key) if link.trusted else None
            if entry is None or entry.deadline <= (now if trusts and now is not None else own()):
                return None
            if entry.uses < MOST_USES:
                entry.uses += 1
            self._hits += 1
            return entry.value

        return read

    def hold(
        self, keys: Sequence[str], values: Sequence[bytes | None], monotonic: Callable[[], float] | None = None
    ) -> Held | None:
        """Gives the first of ``values`` again while there are copies of all."""
        return hold(
            self._copies.entries,
            keys,
            values,
            while_=self._link,
            monotonic=self._monotonic,
            by=monotonic,
            counted=self._seen_again,
        )

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of ``keys``, as the server has them now; copies are kept.

        Cost: 1 round trip, for the keys that are not held or, if all are, for all; 2 where a copy ends meanwhile.
        """
        if not keys:
            return []
        await self._connected()
        copies = self._held(keys)
        missing = [key for key in keys if key not in copies]
        found = await self._read(missing, copies) if missing else None
        while found is None:  # all are held, or were; reading all lacks nothing
            found = await self._read(keys, {})
        return [found[key] for key in keys]

    async def set(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Write all, each to expire after ``ttl`` seconds (one millisecond at least). Cost: 1 round trip."""
        await self._connected()
        self._drop(items)
        await self._remote.set(items, ttl)

    async def add(self, items: Mapping[str, bytes], ttl: float) -> list[bytes]:
        """Write those that are absent; return what each key now holds. Cost: 1 round trip."""
        await self._connected()
        self._drop(items)
        return await self._remote.add(items, ttl)

    async def set_once(self, groups: Mapping[str, Mapping[str, bytes]], ttl: float, *, mark_ttl: float) -> list[bool]:
        """Write each group whose mark is absent, and the mark. Cost: 1 round trip; 2 when the script is new."""
        await self._connected()
        for mark, items in groups.items():
            self._drop((mark, *items))
        return await self._remote.set_once(groups, ttl, mark_ttl=mark_ttl)

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove; returns how many there were. Cost: 1 round trip."""
        await self._connected()
        self._drop(keys)
        return await self._remote.delete(keys)

    async def release(self, key: str, value: bytes) -> bool:
        """Remove ``key`` if it holds ``value``. Cost: 1 round trip; 2 when the server does not know the script yet."""
        await self._connected()
        self._drop([key])
        return await self._remote.release(key, value)

    async def fence(self) -> None:
        """Wait until every push that other clients' finished writes have caused has been applied.

        Cost: 1 round trip, shared by all who ask in the same turn of the event loop.
        """
        await self._connected()
        if self._fencing is None or self._fencing.done() or self._fenced_write != self._link.writes:
            self._fencing = asyncio.ensure_future(self._remote.call("fence", [("PING",)], gives=bytes))
            self._fenced_write = self._link.writes
        await asyncio.shield(self._fencing)

    async def clear(self, prefix: str) -> int:
        """Remove every key that begins with ``prefix``. Cost: 2 round trips for each thousand keys on the server."""
        cleared = 0
        async for keys in self._remote.scan(prefix):
            self._drop(map(_text, keys))
            [count] = await self._remote.call("clear", [("UNLINK", *keys)], gives=int)
            cleared += count
        return cleared

    async def expired(self, *, remove: bool = False) -> int:
        """How many copies have expired without anybody coming by; with ``remove`` they go."""
        return await count_expired(self._copies, self._clock, remove=remove)

    def statistics(self) -> StoreStatistics:
        """Copies held, reads answered from them and reads that asked the server, by key."""
        return StoreStatistics(
            entries=len(self._copies.entries),
            bytes=self._copies.size,
            hits=self._hits + int(self._seen_again[0]),
            misses=self._misses,
            evictions=self._copies.evictions,
        )

    async def aclose(self) -> None:
        """Let go of the connection and of every copy."""
        await self._remote.aclose()
        self.lost()

    # --- called by the link, in the order of the connection ------------------------------------------

    def invalidated(self, keys: Sequence[bytes] | None) -> None:
        """The server says that ``keys`` have changed; None: all may have."""
        if keys is None:
            self.lost()
        else:
            self._drop(map(_text, keys))

    def lost(self) -> None:
        """Nothing is known any more."""
        self._copies.clear()
        self._reading.clear()

    # --- private -----------------------------------------------------------------------------------

    async def _connected(self) -> None:
        """Wait for the first attempt to connect, so that afterwards dropping and sending are one step."""
        if not self._link.tried:
            await self._link.ready()

    def _held(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The copies that there are of ``keys``."""
        if not self._link.trusted:
            return {}
        now, find = self._monotonic(), self._copies.entries.get
        return {key: entry for key in keys if (entry := find(key)) is not None and entry.deadline > now}

    def _values(self, copies: Mapping[str, Entry]) -> dict[str, bytes | None] | None:
        """What ``copies`` say, if each is held still."""
        if copies and not self._link.trusted:
            return None
        now, find = self._monotonic(), self._copies.entries.get
        for key, entry in copies.items():
            if find(key) is not entry or entry.deadline <= now:
                return None
            if entry.uses < MOST_USES:
                entry.uses += 1
        self._hits += len(copies)
        return {key: entry.value for key, entry in copies.items()}

    async def _read(self, keys: Sequence[str], beside: Mapping[str, Entry]) -> dict[str, bytes | None] | None:
        """The server's values of ``keys`` with those of the copies ``beside`` them; None if one of these has ended."""
        token = object()
        reading = self._reading
        self._misses += len(keys)
        asked = self._monotonic()
        for key in keys:
            reading[key] = token
        try:
            commands = [("MGET", *keys), *(("PTTL", key) for key in keys)]
            reply, *lives = await self._remote.call("get", commands, gives=(list, int))
            values = self._remote.values(reply, len(keys))
            if not all(type(life) is int for life in lives):
                raise self._link.disbelieve()
            found = self._values(beside)  # before what is kept takes their room
            for key, value, life in zip(keys, values, lives, strict=True):
                if reading.get(key) is token:
                    self._keep(key, value, life, asked)
        finally:
            for key in keys:
                if reading.get(key) is token:
                    del reading[key]
        return None if found is None else found | dict(zip(keys, values, strict=True))

    def _keep(self, key: str, value: bytes | None, life: int, asked: float) -> None:
        if life == (ABSENT if value is None else ENDLESS):
            self._copies.put(key, value, asked + LONGEST, asked)
        elif value is not None and life > 0:
            self._copies.put(key, value, asked + life / 1000, asked)

    def _drop(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._copies.remove(key)
            self._reading.pop(key, None)


def _text(key: bytes) -> str:
    try:
        return key.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return key.decode("utf-8", "replace")
