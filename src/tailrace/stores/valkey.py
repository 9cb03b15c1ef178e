"""A store shared by processes: Valkey, or Redis from version 7 on. Touches: the network.

Every call is one round trip on one connection that all callers share; calls of the same turn of the event loop leave
in one write. What the server refuses (memory full, read only, loading) is reported as the store being unavailable.

What has to look before it changes anything is a script, which runs the same on Valkey and Redis; it is called by its
hash, and sent whole when a server that has restarted or flushed its scripts does not know it.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from tailrace.clock import Clock, SystemClock
from tailrace.events import Observer, StoreCalled
from tailrace.settings import ValkeySettings
from tailrace.stores.address import parse_address
from tailrace.stores.lifetime import lifetime
from tailrace.stores.link import Link, Listener, refusal_code
from tailrace.stores.resp3 import Refusal, pack
from tailrace.stores.store import Reader, StoreStatistics

__all__ = ["ValkeyStore"]

SCRIPTS = resources.files("tailrace.stores") / "scripts"
RELEASE = (SCRIPTS / "release.lua").read_text(encoding="utf-8")
SET_ONCE = (SCRIPTS / "set_once.lua").read_text(encoding="utf-8")
HASHES = {script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (RELEASE, SET_ONCE)}
SCAN_STEP = 1000
"""Keys the server examines in one step of ``clear``."""
GLOB = str.maketrans({character: f"\\{character}" for character in "*?[]\\^-"})


class ValkeyStore:
    """Bytes by key on a Valkey or Redis server.

    Nothing is opened before the first call, which waits for the first attempt to connect (``connect_timeout`` at most).
    While there is no connection, calls fail at once and new attempts are made in the background.

    Args:
        url: see ``tailrace.stores.address``.
        settings: time limits.
        clock: times the calls for events.
        observer: hears ``StoreCalled`` and ``StoreConnectionChanged``.
        tls: for ``rediss``; by default the system's authorities are trusted.
        listener: hears of changes to keys read through this store.
        name: what events call it.

    Raises:
        SettingsError: the URL is wrong.
        MissingExtraError: hiredis is not installed.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        settings: ValkeySettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        tls: ssl.SSLContext | None = None,
        listener: Listener | None = None,
        name: str = "valkey",
    ) -> None:
        self.name = name
        self._address = parse_address(url)
        self._clock = clock or SystemClock()
        self._observer = observer
        self._hits = 0
        self._misses = 0
        self.link = Link(
            self._address,
            settings=settings or ValkeySettings(),
            name=name,
            observer=observer,
            listener=listener,
            tls=tls,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._address})"

    @property
    def epoch(self) -> str | None:
        """The primary's replication id, read on each connection before it is used; None while there is none."""
        return self.link.epoch

    @property
    def delay(self) -> float:
        """As the connection has seen it, by the calls since the last heartbeat."""
        return self.link.delay

    async def connect(self) -> bool:
        """Make the first attempt now instead of on the first call; True if there is a connection."""
        await self.link.ready()
        return self.link.epoch is not None

    def peek(self, keys: Sequence[str]) -> None:
        """Never known without asking."""

    def reader(self, monotonic: Callable[[], float] | None = None) -> Reader:
        """Gives None for every key."""
        return lambda key, now=None: None

    def hold(
        self, keys: Sequence[str], values: Sequence[bytes | None], monotonic: Callable[[], float] | None = None
    ) -> None:
        """Nothing is held here."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of ``keys``. Cost: 1 round trip."""
        if not keys:
            return []
        [reply] = await self.call("get", [("MGET", *keys)], gives=list)
        values = self.values(reply, len(keys))
        misses = values.count(None)
        self._misses += misses
        self._hits += len(values) - misses
        return values

    async def set(self, items: Mapping[str, bytes], ttl: float) -> None:
        """Write all, each to expire after ``ttl`` seconds (one millisecond at least). Cost: 1 round trip."""
        if items:
            life = _milliseconds(ttl)
            await self.call("set", [("SET", key, value, "PX", life) for key, value in items.items()], gives=bytes)

    async def add(self, items: Mapping[str, bytes], ttl: float) -> list[bytes]:
        """Write those that are absent; return what each key now holds. Cost: 1 round trip."""
        if not items:
            return []
        life = _milliseconds(ttl)
        commands = [("SET", key, value, "NX", "GET", "PX", life) for key, value in items.items()]
        held = self.values(await self.call("add", commands), len(commands))
        return [value if old is None else old for old, value in zip(held, items.values(), strict=True)]

    async def set_once(self, groups: Mapping[str, Mapping[str, bytes]], ttl: float, *, mark_ttl: float) -> list[bool]:
        """Write each group whose mark is absent, and the mark. Cost: 1 round trip; 2 when the script is new."""
        if not groups:
            return []
        lives = _milliseconds(ttl), _milliseconds(mark_ttl)
        calls: list[tuple[str | bytes | int, ...]] = [
            (1 + len(items), mark, *items, *lives, *items.values()) for mark, items in groups.items()
        ]
        return [bool(done) for done in await self._run("set_once", SET_ONCE, calls)]

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove; returns how many there were. Cost: 1 round trip."""
        if not keys:
            return 0
        [count] = await self.call("delete", [("UNLINK", *keys)], gives=int)
        return int(count)

    async def release(self, key: str, value: bytes) -> bool:
        """Remove ``key`` if it holds ``value``. Cost: 1 round trip; 2 when the server does not know the script yet."""
        [done] = await self._run("release", RELEASE, [(1, key, value)])
        return bool(done)

    async def fence(self) -> None:
        """Nothing to wait for: every read asks the server."""

    async def clear(self, prefix: str) -> int:
        """Remove every key that begins with ``prefix``. Cost: 2 round trips a ``SCAN_STEP`` of the server's keys."""
        cleared = 0
        async for keys in self.scan(prefix):
            [count] = await self.call("clear", [("UNLINK", *keys)], gives=int)
            cleared += count
        return cleared

    async def scan(self, prefix: str) -> AsyncIterator[list[bytes]]:
        """The keys that begin with ``prefix``, in steps, none of them empty."""
        cursor = b"0"
        while True:
            command = ("SCAN", cursor, "MATCH", prefix.translate(GLOB) + "*", "COUNT", SCAN_STEP)
            [reply] = await self.call("clear", [command], gives=list)
            if len(reply) != 2 or type(reply[0]) is not bytes or not _are_bytes(reply[1]):
                raise self.link.disbelieve()
            cursor, keys = reply
            if keys:
                yield keys
            if cursor == b"0":
                return

    async def expired(self, *, remove: bool = False) -> int:
        """0: nothing is held here, and the server lets go of what expires."""
        del remove
        return 0

    def statistics(self) -> StoreStatistics:
        """Hits and misses by key of this process's reads; what the server holds is not counted here."""
        return StoreStatistics(hits=self._hits, misses=self._misses)

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self.link.aclose()

    async def call(
        self,
        operation: str,
        commands: Sequence[Sequence[str | bytes | int]],
        *,
        gives: type | tuple[type, ...] = object,
        tolerate: str | None = None,
    ) -> list[Any]:
        """Send ``commands`` and return their replies. Cost: 1 round trip.

        Args:
            operation: what events call it.
            commands: any that have one reply each.
            gives: what each reply is.
            tolerate: code of a refusal to be returned as it is.

        Raises:
            StoreUnavailableError: not connected, too slow, lost meanwhile, refused by the server, or answered with
                something else.
        """
        payload = pack(commands[0]) if len(commands) == 1 else b"".join(map(pack, commands))
        if self._observer is None:
            return self._check(await self.link.call(payload, len(commands)), gives, tolerate)
        started = self._clock.monotonic()
        error = True
        try:
            replies = self._check(await self.link.call(payload, len(commands)), gives, tolerate)
            error = False
            return replies
        finally:
            self._observer(StoreCalled(self.name, operation, self._clock.monotonic() - started, error))

    async def _run(self, operation: str, script: str, calls: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        """Run a script once for each of ``calls`` (number of keys, keys, arguments); the unknown again."""
        commands = [("EVALSHA", HASHES[script], *call) for call in calls]
        replies = await self.call(operation, commands, gives=int, tolerate="NOSCRIPT")
        unknown = [place for place, reply in enumerate(replies) if isinstance(reply, Refusal)]
        if unknown:
            again = await self.call(operation, [("EVAL", script, *calls[place]) for place in unknown], gives=int)
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        return replies

    def values(self, reply: Any, count: int) -> list[bytes | None]:
        """``reply`` as so many values, some of them absent.

        Raises:
            StoreUnavailableError: it is something else.
        """
        known = type(reply) is list and all(value is None or type(value) is bytes for value in reply)
        if not known or len(reply) != count:
            raise self.link.disbelieve()
        return reply  # type: ignore[no-any-return]

    def _check(self, replies: list[Any], gives: type | tuple[type, ...], tolerate: str | None) -> list[Any]:
        for reply in replies:
            if isinstance(reply, Refusal):
                if refusal_code(reply) != tolerate:
                    raise self.link.refuse(reply)
            elif not isinstance(reply, gives):
                raise self.link.disbelieve()
        return replies


def _are_bytes(reply: Any) -> bool:
    return type(reply) is list and all(type(each) is bytes for each in reply)


def _milliseconds(ttl: float) -> int:
    return round(lifetime(ttl) * 1000)
