"""Streams that every process finds. Touches: the network.

Each is a stream of Valkey's own, whose entries have the events' numbers for ids. The server refuses to add one twice
or out of order, and what it evicts is gone as a whole.

**Source:** Valkey documentation, "XADD", "XRANGE".
"""

from __future__ import annotations

from tailrace.asgi.sse.replay_log import Recorded
from tailrace.stores import ValkeyStore

__all__ = ["ValkeyReplayLog"]


class ValkeyReplayLog:
    """Keeps streams on a Valkey or Redis server.

    Args:
        store: the connection, closed with the log.
        namespace: what keys begin with.
        ttl: seconds after a stream's last event for which it is kept.

    Cost: 1 round trip a call.
    """

    def __init__(self, store: ValkeyStore, *, namespace: str = "tailrace", ttl: float = 300.0) -> None:
        self._store = store
        self._prefix = f"{namespace}:stream:"
        self._life = max(1, round(ttl * 1000))

    async def append(self, stream: str, number: int, body: bytes) -> None:
        """Add an event."""
        await self._add(stream, number, "e", body)

    async def end(self, stream: str, number: int) -> None:
        """Note that nothing follows."""
        await self._add(stream, number, "end", b"")

    async def forget(self, stream: str) -> None:
        """Let go of a stream."""
        await self._store.call("stream", [("UNLINK", self._prefix + stream)])

    async def read(self, stream: str) -> Recorded | None:
        """What is kept of a stream."""
        [entries] = await self._store.call("stream", [("XRANGE", self._prefix + stream, "-", "+")], gives=list)
        bodies: list[bytes] = []
        for number, entry in enumerate(entries, 1):
            match entry:
                case [name, [b"e", bytes(body)]] if name == b"%d-0" % number:
                    bodies.append(body)
                case [name, [b"end", _]] if name == b"%d-0" % number:
                    return Recorded(tuple(bodies), True)
                case _:
                    return None  # its beginning was evicted while it went on, or the server makes no sense
        return Recorded(tuple(bodies), False) if bodies else None

    async def aclose(self) -> None:
        """Let go of the connection; streams stay until their time is up."""
        await self._store.aclose()

    async def _add(self, stream: str, number: int, kind: str, body: bytes) -> None:
        key = self._prefix + stream
        await self._store.call("stream", [("XADD", key, f"{number}-0", kind, body), ("PEXPIRE", key, self._life)])
