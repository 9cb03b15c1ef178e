"""Lines to a server, to be made slow, silent, cut or senseless while something uses them. Touches: sockets."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

__all__ = ["Line", "LineBase"]

HOST = "127.0.0.1"
PIECE = 65536
"""Bytes that are read at once."""


class LineBase(ABC):
    """Between clients and a server on this machine, an asynchronous context manager: what lines have in common.

    Args:
        port: the server's.
        path: the Unix socket to listen on, in place of a free port.
        tls: encrypts the clients' side.
    """

    def __init__(self, port: int, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._target = port
        self._path = path
        self._tls = tls
        self._connections: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens.

        Raises:
            RuntimeError: it does not, or on a Unix socket.
        """
        if self._server is None or self._path is not None:
            raise RuntimeError(
                "the line has no port: it listens only inside of `async with`, on `path` if there is one"
            )
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Reset every connection, at both ends."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        else:
            self._server = await asyncio.start_server(self._accept, HOST, 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connect(reader, writer))  # asyncio's own does not bear being cancelled
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
            ends.add(far_writer)
            self._writers |= ends
            await self._carry((reader, writer), (far_reader, far_writer))
        except OSError:  # nobody there, or an end has left: that is what the other one is to see
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    @abstractmethod
    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Carry what a client and the server say, until the connection is over.

        Raises:
            OSError: an end has gone.
        """


class Line(LineBase):
    """A line that can be slow, silent or senseless.

    Attributes:
        delay: seconds that each piece of what the server says is held back, in order.
        nonsense: clients get bytes drawn at random in its place.
    """

    def __init__(self, port: int, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(port, path=path, tls=tls)
        self.delay = 0.0
        self.nonsense = False
        self._draw = Random(1)  # noqa: S311 - nonsense
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def silent(self) -> bool:
        """Whether nothing passes either way and nobody is told, as when a cable is pulled; what came meanwhile passes
        once it ends."""
        return not self._flowing.is_set()

    @silent.setter
    def silent(self, silent: bool) -> None:
        if silent:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._one_way(near[0], far[1], answers=False))
            both.create_task(self._one_way(far[0], near[1], answers=True))

    async def _one_way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        """Carry one side's pieces, each when it is due, and then its end."""
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
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._flowing.wait()
                if not data:
                    return
                sink.write(self._draw.randbytes(len(data)) if answers and self.nonsense else data)
                await sink.drain()
        except OSError:  # the other side has gone
            return
        finally:
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)
            sink.close()
