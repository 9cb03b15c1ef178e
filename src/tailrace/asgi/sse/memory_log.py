"""Streams that are kept in this process. Touches: the clock handed in, its own memory, which is bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from tailrace.asgi.sse.replay_log import Recorded
from tailrace.clock import Clock, SystemClock

__all__ = ["MemoryReplayLog"]

OVERHEAD = 500
"""Bytes that a stream costs beside its events."""
EACH = 60
"""Bytes that an event costs beside its own."""


@dataclass(slots=True)
class _Kept:
    until: float
    bodies: list[bytes] = field(default_factory=list)
    ended: bool = False
    size: int = OVERHEAD


class MemoryReplayLog:
    """Keeps streams in this process.

    Args:
        ttl: seconds after a stream's last event for which it is kept.
        limit: bytes of all streams together; those go first to which nothing was added for longest.
        clock: monotonic time.
    """

    def __init__(self, *, ttl: float = 300.0, limit: int = 64 * 1024 * 1024, clock: Clock | None = None) -> None:
        self._ttl = ttl
        self._limit = limit
        self._clock = clock or SystemClock()
        self._streams: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._size

    async def append(self, stream: str, number: int, body: bytes) -> None:
        """Add an event; one after a gap, whose stream had to go, or after the end is not kept."""
        kept = self._touched(stream, new=number == 1)
        if kept is not None and not kept.ended and len(kept.bodies) == number - 1:
            kept.bodies.append(body)
            kept.size += len(body) + EACH
            self._size += len(body) + EACH
        self._make_room()

    async def end(self, stream: str, number: int) -> None:
        """Note that nothing follows."""
        kept = self._touched(stream, new=number == 1)
        if kept is not None and len(kept.bodies) == number - 1:
            kept.ended = True
        self._make_room()

    async def forget(self, stream: str) -> None:
        """Let go of a stream."""
        self._remove(stream)

    async def read(self, stream: str) -> Recorded | None:
        """What is kept of a stream."""
        kept = self._streams.get(stream)
        if kept is None or kept.until <= self._clock.monotonic():
            return None
        return Recorded(tuple(kept.bodies), kept.ended)

    async def aclose(self) -> None:
        """Let go of everything."""
        self._streams.clear()
        self._size = 0

    def _touched(self, stream: str, *, new: bool) -> _Kept | None:
        kept = self._streams.get(stream)
        if kept is None:
            if not new:
                return None
            kept = self._streams[stream] = _Kept(0.0)
            self._size += kept.size
        kept.until = self._clock.monotonic() + self._ttl
        self._streams.move_to_end(stream)
        return kept

    def _make_room(self) -> None:
        now = self._clock.monotonic()
        while self._streams:
            oldest = next(iter(self._streams))
            if self._size <= self._limit and self._streams[oldest].until > now:
                return
            self._remove(oldest)

    def _remove(self, stream: str) -> None:
        kept = self._streams.pop(stream, None)
        if kept is not None:
            self._size -= kept.size
