"""A line to PostgreSQL that breaks: a TCP proxy that ends connections in the middle of round trips."""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Self

__all__ = ["FaultyLine"]

READY = b"Z\x00\x00\x00\x05"
"""The server's ReadyForQuery: from the first one on a connection is in use."""
TERMINATE = b"X"


class FaultyLine:
    """Between a client and the server at ``port``.

    Of the round trips on connections in use, the share ``faults`` ends with both ends cut off: half of them before the
    server has heard of the request, half after it has answered, when the client cannot tell what was done.
    """

    def __init__(self, port: int, faults: float, seed: int = 1) -> None:
        self.faults = faults
        self.trips = self.broken = 0
        self._port = port
        self._random = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        line = _Line(self, reader, writer, far_reader, far_writer)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(line.ask())
                group.create_task(line.answer())
        except* (_CutError, OSError):
            pass
        finally:
            for end in (writer, far_writer):
                end.transport.abort()

    def breaks(self) -> str:
        """What happens to one round trip: ``""``, ``"before"`` or ``"after"``."""
        self.trips += 1
        if self._random.random() >= self.faults:
            return ""
        self.broken += 1
        return self._random.choice(("before", "after"))


class _CutError(Exception):
    """The line has broken, or one end has left."""


class _Line:
    """One connection."""

    def __init__(
        self,
        owner: FaultyLine,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        self._owner = owner
        self._reader, self._writer = reader, writer
        self._far_reader, self._far_writer = far_reader, far_writer
        self._in_use = self._cut_after = False

    async def ask(self) -> None:
        """Carry requests; what the client sends at once is one round trip."""
        while data := await self._reader.read(65536):
            if self._in_use and data[:1] != TERMINATE:
                fate = self._owner.breaks()
                if fate == "before":
                    raise _CutError
                self._cut_after = fate == "after"
            self._far_writer.write(data)
            await self._far_writer.drain()
        raise _CutError

    async def answer(self) -> None:
        """Carry answers."""
        while data := await self._far_reader.read(65536):
            if self._cut_after:
                raise _CutError
            self._writer.write(data)
            await self._writer.drain()
            self._in_use = self._in_use or READY in data
        raise _CutError
