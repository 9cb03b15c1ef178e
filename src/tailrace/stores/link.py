"""Keeps one connection to a Valkey or Redis server up, in the background. Touches: the network.

Each connection introduces itself in one round trip: HELLO 3 with credentials, the database, tracking if a listener
wants it, and ``INFO replication``. Only then is it used, under the epoch read there: the primary's replication id.
The server draws another one whenever it starts and whenever a replica is promoted, that is, whenever writes may have
been lost.

A lost connection is replaced after a pause with full jitter that doubles up to ``reconnect_max_delay``. Until then
every call fails at once. Once a second the replication id is read again: it shows how late the server is, and one that
was demoted under a connection that stayed whole. A server that is not a primary is as good as down: what it holds
lags behind.

Network time is the event loop's, not the handed-in clock's: it belongs to the machine on the other side.

**Source:** Valkey documentation, "Client-side caching reference" and "Replication"; Marc Brooker, "Exponential
backoff and jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import asyncio
import functools
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tailrace.core.backoff import Backoff
from tailrace.errors import StoreUnavailableError
from tailrace.events import Observer, StoreConnectionChanged
from tailrace.settings import ValkeySettings
from tailrace.stores.address import Address
from tailrace.stores.resp3 import Connection, Refusal, pack

__all__ = ["Link", "Listener", "refusal_code"]

HEARTBEAT = 1.0
"""Seconds between two looks at the replication id."""
FIRST_DELAY = 0.05
"""Seconds: the bound of the first pause before connecting again."""
GONE_CODES = frozenset({"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "NOAUTH", "UNBLOCKED"})
"""Refusals that say the server is not, or no longer, the one to talk to."""


class Listener(Protocol):
    """Hears what the server says about keys that were read."""

    def invalidated(self, keys: Sequence[bytes] | None) -> None:
        """These keys have changed; None: any may have."""
        ...

    def lost(self) -> None:
        """The connection is gone, and with it all that would have been heard."""
        ...


def refusal_code(refusal: Exception) -> str:
    """The first word of a server's refusal. The rest may repeat arguments, so it goes nowhere."""
    return str(refusal).partition(" ")[0][:32]


class Link:
    """A connection that comes back.

    Args:
        address: where the server is.
        settings: time limits.
        name: the store's name in events.
        observer: hears ``StoreConnectionChanged``.
        listener: with one, every key read is tracked and it hears of changes.
        tls: for ``rediss``; by default the system's authorities are trusted.
        draw: random numbers in 0..1, for jitter.
    """

    def __init__(
        self,
        address: Address,
        *,
        settings: ValkeySettings,
        name: str,
        observer: Observer | None,
        listener: Listener | None,
        tls: ssl.SSLContext | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._settings = settings
        self._name = name
        self._observer = observer
        self._listener = listener
        # Reading the authorities takes milliseconds: once, and not while requests wait for a new connection.
        self._tls = (tls or ssl.create_default_context()) if address.tls else None
        self._draw = draw
        self._connection: Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._reported: bool | None = None
        self._why = "not connected yet"
        self._closed = False
        self.epoch: str | None = None
        """The primary's replication id; None while not connected."""
        self.trusted = False
        """True while connected, nothing is overdue, and pushes are known to keep up."""

    @property
    def tried(self) -> bool:
        """True once the first attempt to connect has ended."""
        return self._tried.is_set()

    @property
    def delay(self) -> float:
        """Seconds that the server takes to answer, as far as it was slow since the last heartbeat; 0 while there is no
        connection, since calls then fail at once."""
        return 0.0 if self._connection is None else self._connection.delay

    @property
    def writes(self) -> int:
        """Calls made while this stays the same leave in one write."""
        return 0 if self._connection is None else self._connection.writes

    async def ready(self) -> None:
        """Start connecting; wait until the first attempt has ended, well or badly (``connect_timeout`` at most)."""
        if self._closed:
            return
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"tailrace-{self._name}-link")
        await self._tried.wait()

    async def call(self, payload: bytes, replies: int) -> list[Any]:
        """One round trip; refusals are among the replies.

        Raises:
            StoreUnavailableError: not connected (at once), too slow, or lost meanwhile.
        """
        if self._connection is None and not self._tried.is_set():
            await self.ready()
        return await self.send(payload, replies)

    def send(self, payload: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """As ``call``, but the commands have their place in the order when this returns."""
        if self._connection is None:
            raise StoreUnavailableError(f"{self._address}: {self._why}")
        return self._connection.send(payload, replies)

    def refuse(self, refusal: Exception) -> StoreUnavailableError:
        """The error for a refusal; where it says that the server is the wrong one, the connection is given up."""
        code = refusal_code(refusal)
        if code in GONE_CODES and self._connection is not None:
            self._connection.close(f"the server answered {code}")
        return StoreUnavailableError(f"{self._address}: the server answered {code}")

    def disbelieve(self) -> StoreUnavailableError:
        """The error for a reply that no such server gives; the connection is given up."""
        why = "the server answered something else than what it was asked"
        if self._connection is not None:
            self._connection.close(why)
        return StoreUnavailableError(f"{self._address}: {why}")

    async def aclose(self) -> None:
        """Let go of the connection and the task. Idempotent."""
        self._closed = True
        self._why = "the store has been closed"
        self._tried.set()
        if self._connection is not None:
            self._connection.close(self._why)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    # --- private -----------------------------------------------------------------------------------

    async def _keep(self) -> None:
        cap = self._settings.reconnect_max_delay
        pauses = Backoff(min(FIRST_DELAY, cap), cap)
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(self._settings.connect_timeout):
                    connection, epoch = await self._open()
            except StoreUnavailableError as error:
                self._failed(str(error))
            except TimeoutError:
                self._failed("no connection in time")
            except OSError as error:
                self._failed(f"no connection ({error.strerror or type(error).__name__})")
            else:
                began = asyncio.get_running_loop().time()
                if self._use(connection, epoch):
                    await self._watch(connection, epoch)
                if asyncio.get_running_loop().time() - began > HEARTBEAT:
                    attempt = 0
            await asyncio.sleep(pauses.delay(attempt, self._draw()))
            attempt += 1

    async def _open(self) -> tuple[Connection, str]:
        make = functools.partial(
            Connection, timeout=self._settings.connect_timeout, on_push=self._hear, on_change=self._changed
        )
        loop, address = asyncio.get_running_loop(), self._address
        connection: Connection
        if address.path is not None:
            _, connection = await loop.create_unix_connection(make, address.path)
        else:
            _, connection = await loop.create_connection(make, address.host, address.port, ssl=self._tls)
        try:
            return connection, await self._introduce(connection)
        except BaseException:
            connection.close("the introduction failed")
            raise

    async def _introduce(self, connection: Connection) -> str:
        address = self._address
        hello: list[str] = ["HELLO", "3"]
        if address.password is not None:
            hello += ["AUTH", address.username, address.password]
        commands: list[Sequence[str]] = [[*hello, "SETNAME", f"tailrace-{self._name}"]]
        if address.database:
            commands.append(["SELECT", str(address.database)])
        if self._listener is not None:
            commands.append(["CLIENT", "TRACKING", "ON"])
        commands.append(["INFO", "replication"])
        replies = await connection.send(b"".join(map(pack, commands)), len(commands))
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Refusal):
                raise StoreUnavailableError(f"the server answered {refusal_code(reply)} to {command[0]}")
        return _read_epoch(replies[-1])

    async def _watch(self, connection: Connection, epoch: str) -> None:
        """Return when ``connection`` is lost, or is to be given up because the server is no longer the same."""
        command = pack(["INFO", "replication"])
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await self._lost.wait()
                return
            except TimeoutError:
                pass
            try:
                reply = await connection.measure(command)
            except StoreUnavailableError:
                continue  # The connection itself decides when to give up.
            if _is_another(reply, epoch):
                connection.close("the server is not the primary it was")

    def _use(self, connection: Connection, epoch: str) -> bool:
        """Make ``connection`` the one that calls go to; False if it has been lost already."""
        if connection.closed:
            self._failed(connection.reason)
            return False
        self._lost.clear()
        connection.limit(self._settings.timeout)
        self._connection = connection
        self.epoch = epoch
        self.trusted = connection.trusted
        self._tried.set()
        self._report(connected=True)
        return True

    def _hear(self, message: list[Any]) -> None:
        if self._listener is not None and message and message[0] == b"invalidate":
            keys = message[1] if len(message) > 1 else None
            told = type(keys) is list and all(type(key) is bytes for key in keys)
            self._listener.invalidated(keys if told else None)

    def _changed(self) -> None:
        connection = self._connection
        if connection is None:
            return
        self.trusted = connection.trusted
        if connection.closed:
            self._connection = None
            self.epoch = None
            if self._listener is not None:
                self._listener.lost()
            self._lost.set()
            self._failed(connection.reason)

    def _failed(self, why: str) -> None:
        if not self._closed:
            self._why = why
        self._tried.set()
        self._report(connected=False)

    def _report(self, *, connected: bool) -> None:
        if self._reported is not connected:
            self._reported = connected
            if self._observer is not None:
                self._observer(StoreConnectionChanged(self._name, connected))


def _read_epoch(reply: Any) -> str:
    """The replication id in ``INFO replication``.

    Raises:
        StoreUnavailableError: there is none, or the server is not a primary.
    """
    text = reply.decode("ascii", "replace") if isinstance(reply, bytes) else str(reply)
    facts = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if facts.get("role") != "master":
        raise StoreUnavailableError("the server is not a primary")
    replication_id = facts.get("master_replid")
    if not replication_id:
        raise StoreUnavailableError("the server does not tell its replication id")
    return replication_id


def _is_another(reply: Any, epoch: str) -> bool:
    try:
        return isinstance(reply, Refusal) or _read_epoch(reply) != epoch
    except StoreUnavailableError:
        return True
