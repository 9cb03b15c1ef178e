"""A line to a server that can be made slow, or made to carry nonsense. Touches: sockets."""

from __future__ import annotations

import asyncio
from random import Random
from types import TracebackType
from typing import Self

from bench.asking import HOST

__all__ = ["Line"]

PIECE = 65536


class Line:
    """Between clients and a server on this machine; an asynchronous context manager.

    Args:
        port: the server's.

    Attributes:
        delay: seconds that each piece of what the server says is held back, in order.
        nonsense: clients get bytes drawn at random in its place.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.nonsense = False
        self._target = port
        self._draw = Random(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
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
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:  # nobody there: that is what the client is to see
            writer.close()
            return
        for source, sink, answers in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._carry(source, sink, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def receive() -> None:
            try:
                while data := await source.read(PIECE):
                    pieces.put_nowait((loop.time() + (self.delay if answers else 0.0), data))
            except OSError:  # broken off, which ends the line as its end does
                pass
            pieces.put_nowait((0.0, b""))

        receiver = asyncio.create_task(receive())
        try:
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(due - loop.time())
                if not data:
                    return
                sink.write(self._draw.randbytes(len(data)) if answers and self.nonsense else data)
                await sink.drain()
        except OSError:  # the other side has gone
            return
        finally:
            receiver.cancel()
            sink.close()
