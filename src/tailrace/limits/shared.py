"""Buckets on a Valkey or Redis server, and what is known of their life. Touches: the network.

Scripts read and write the buckets, by the server's clock, so that all processes agree on the time; calls made in one
turn of the event loop leave in one write. All keys have one hash tag, hence one slot: buckets of different callers can
be decided together, and a script never crosses slots.

A server that restarts, or a replica that is promoted, may have lost what was decided last; its replication id is
another one then (``Link``). A process that lived through this notes the loss on the server before it decides anything
again, in the same write. From then on every bucket counts as empty at that moment, for everybody: no caller gets a
second burst, each goes on at its rate. A process that starts later has nothing to compare with, and needs nothing: it
finds the note.

**Source:** Valkey documentation, "Scripting with Lua" and "Replication".
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from importlib import resources
from typing import Any

from tailrace.core.gcra import LONGEST_SPAN
from tailrace.errors import StoreUnavailableError
from tailrace.events import Event, LimitStateLost, Observer, StoreConnectionChanged
from tailrace.settings import ValkeySettings
from tailrace.stores.address import parse_address
from tailrace.stores.link import Link, refusal_code
from tailrace.stores.resp3 import Refusal, pack

__all__ = ["Script", "SharedBuckets", "arguments"]

NOTE_FOR = LONGEST_SPAN // 1000 + 60_000
"""Milliseconds for which a loss is noted: until the slowest bucket is full again, and a minute."""


class Script:
    """One of ``limits/scripts``, called by its hash.

    A server that has restarted, or flushed its scripts, answers NOSCRIPT and has done nothing; then it is sent whole.

    Args:
        name: of the file, without ``.lua``.
    """

    __slots__ = ("_hash", "_heads", "_text")

    def __init__(self, name: str) -> None:
        file = resources.files("tailrace.limits") / "scripts" / f"{name}.lua"
        self._text = file.read_text(encoding="utf-8")
        self._hash = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        self._heads: tuple[str, bytes] = ("", b"")

    def prepared(self, first: str, bucket: str, tail: bytes) -> bytes:
        """The call by hash with two keys and two arguments, as ``command`` gives it, at a third of the price.

        Args:
            first: the first key, nearly always the same.
            bucket: the second one.
            tail: the arguments, as ``arguments`` gives them.
        """
        known, head = self._heads
        if known != first:
            head = b"*7\r\n" + _parts("EVALSHA", self._hash, 2, first)
            self._heads = (first, head)
        key = bucket.encode("utf-8", "surrogatepass")
        return b"%b$%d\r\n%b\r\n%b" % (head, len(key), key, tail)

    def command(self, keys: Sequence[str], arguments: Sequence[int], *, whole: bool) -> bytes:
        """The call, encoded; ``whole``: with the script's text in place of its hash."""
        how = ("EVAL", self._text) if whole else ("EVALSHA", self._hash)
        return pack((*how, len(keys), *keys, *arguments))


def arguments(*numbers: int) -> bytes:
    """Encoded arguments for ``Script.prepared``."""
    return _parts(*numbers)


def _parts(*parts: str | int) -> bytes:
    """Some parts of a command, encoded, without its beginning."""
    return pack(parts).partition(b"\r\n")[2]


class SharedBuckets:
    """The server's side of limits.

    Args:
        url: see ``tailrace.stores.address``.
        settings: time limits; a call that exceeds them counts as an outage.
        namespace: first part of every key.
        durable: the server loses nothing when it restarts (``appendfsync always``) or fails over, so no loss is noted.
        observer: hears ``StoreConnectionChanged`` and ``LimitStateLost``.
        tls: for ``rediss``; by default the system's authorities are trusted.

    Raises:
        SettingsError: the URL is wrong.
        MissingExtraError: hiredis is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: ValkeySettings | None = None,
        namespace: str = "tailrace",
        durable: bool = False,
        observer: Observer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.link = Link(
            parse_address(url),
            settings=settings or ValkeySettings(),
            name="limits",
            observer=self._heard,
            listener=None,
            tls=tls,
        )
        self._prefix = f"{{{namespace}:limit}}:"
        self._durable = durable
        self._observer = observer
        self._note = Script("lost")
        self._epoch: str | None = None
        self._noted_at = ""

    def key(self, limit: str, caller: str) -> str:
        """The key of a bucket; the length keeps one limit's name from running into another's callers."""
        return f"{self._prefix}{len(limit)}:{limit}:{caller}"

    async def run_one(self, script: Script, bucket: str, tail: bytes) -> list[int]:
        """As ``run`` on one bucket, at half the price.

        Args:
            tail: two arguments, encoded by ``arguments``.

        Raises:
            StoreUnavailableError: as ``run``.
        """
        epoch = self._epoch
        if epoch is not None and self.link.epoch == epoch:
            [reply] = await self.link.send(script.prepared(self._noted_at, bucket, tail), 1)
            if type(reply) is list:
                self._trust(epoch)
                return reply
            # Refused, so nothing was done: once more, with the script and in this life of the server.
        span, added = (int(part) for part in tail.split(b"\r\n")[1::2])
        return await self.run(script, (bucket,), (span, added))

    async def run(self, script: Script, buckets: Sequence[str], arguments: Sequence[int]) -> list[int]:
        """Run ``script`` on ``buckets``.

        Cost: 1 round trip, shared by the calls of the same turn; 2 when the server does not know the script.

        Raises:
            StoreUnavailableError: not connected, too slow, lost meanwhile, or refused by the server. Units may
                have been taken nevertheless.
        """
        link = self.link
        if not link.tried:
            await link.ready()
        whole = False
        while True:
            epoch = link.epoch
            if epoch != self._epoch and epoch is not None:
                self._enter(epoch)
            [reply] = await link.send(script.command((self._noted_at, *buckets), arguments, whole=whole), 1)
            if not isinstance(reply, Refusal):
                self._trust(epoch)
                return reply  # type: ignore[no-any-return]
            if whole or refusal_code(reply) != "NOSCRIPT":
                raise link.refuse(reply)
            whole = True

    async def connect(self) -> bool:
        """Make the first attempt now instead of on the first call; True if there is a connection."""
        await self.link.ready()
        return self.link.epoch is not None

    async def aclose(self) -> None:
        """Let go of the connection. Idempotent."""
        await self.link.aclose()

    def _heard(self, event: Event) -> None:
        """From the first connection on a loss is noticed, whenever that is, also before anything has been decided."""
        if isinstance(event, StoreConnectionChanged) and event.connected and self._epoch is None:
            assert self.link.epoch is not None
            self._enter(self.link.epoch)
        if self._observer is not None:
            self._observer(event)

    def _trust(self, epoch: str | None) -> None:
        """Raise unless what was decided in ``epoch`` was decided behind its note: replies come in order."""
        if self._epoch != epoch:
            raise StoreUnavailableError("what was lost could not be noted")

    def _enter(self, epoch: str) -> None:
        """From now on another life of the store is used; note the loss if this process knew the one before."""
        before, self._epoch = self._epoch, epoch
        self._noted_at = f"{self._prefix}lost:{epoch}"
        if before is None or self._durable:
            return
        # Sent before any decision, so executed before any: nothing has to wait for it.
        noted = self.link.send(self._note.command((self._noted_at,), (NOTE_FOR,), whole=True), 1)

        def answered(reply: asyncio.Future[list[Any]]) -> None:
            if reply.cancelled() or reply.exception() is not None or isinstance(reply.result()[0], Refusal):
                self._epoch = before
            elif self._observer is not None:
                self._observer(LimitStateLost("limits"))

        noted.add_done_callback(answered)
