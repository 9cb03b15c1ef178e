"""A line to PostgreSQL that breaks in the middle of round trips. Touches: sockets."""

from __future__ import annotations

import asyncio
from random import Random

from tailrace.testing.line import PIECE, LineBase

__all__ = ["BreakingLine"]

READY = b"Z\x00\x00\x00\x05"
"""The server's ReadyForQuery: from the first one on a connection is in use."""
TERMINATE = b"X"


class BreakingLine(LineBase):
    """Of the round trips on connections in use, a share ends with both ends cut off: half of them before the server has
    heard of the request, half after it has answered, when the client cannot tell what was done.

    Args:
        port: the server's.
        faults: the share, 0 to 1; may be changed.
        seed: which ones.

    Attributes:
        trips: round trips so far.
        broken: of them, those that broke.

    **Source:** PostgreSQL's documentation, "Message Flow" and "Message Formats", of which it knows two messages.
    """

    def __init__(self, port: int, faults: float, seed: int = 1) -> None:
        super().__init__(port)
        self.faults = faults
        self.trips = self.broken = 0
        self._draw = Random(seed)  # noqa: S311 - a sample

    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        connection = _Connection(self)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.ask(near[0], far[1]))
                both.create_task(connection.answer(far[0], near[1]))
        except* (_CutError, OSError):
            for _, writer in (near, far):
                writer.transport.abort()

    def breaks(self) -> str:
        """What happens to one round trip: ``""``, ``"before"`` or ``"after"``."""
        self.trips += 1
        if self._draw.random() >= self.faults:
            return ""
        self.broken += 1
        return self._draw.choice(("before", "after"))


class _CutError(Exception):
    """The line has broken, or one end has left."""


class _Connection:
    """One connection, and how far it is."""

    def __init__(self, line: BreakingLine) -> None:
        self._line = line
        self._in_use = self._cut_after = False

    async def ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Carry requests; what the client sends at once is one round trip."""
        while data := await client.read(PIECE):
            if self._in_use and data[:1] != TERMINATE:
                fate = self._line.breaks()
                if fate == "before":
                    raise _CutError
                self._cut_after = fate == "after"
            server.write(data)
            await server.drain()
        raise _CutError

    async def answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Carry answers."""
        while data := await server.read(PIECE):
            if self._cut_after:
                raise _CutError
            client.write(data)
            await client.drain()
            self._in_use = self._in_use or READY in data
        raise _CutError
