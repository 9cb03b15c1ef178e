"""A TCP proxy whose line can be slow, silent or cut."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]


class Proxy:
    """Between a client and a server on this machine.

    ``delay``: seconds that each piece of the server's output is held back, in order. ``silent``: nothing passes either
    way and nobody is told, as when a cable is pulled; what came meanwhile passes once it ends. It listens on a free
    port, or on the Unix socket ``path``, and encrypts its side of the line with ``tls``.
    """

    def __init__(self, port: int, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.delay = 0.0
        self._path = path
        self._tls = tls
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def silent(self) -> bool:
        """Whether nothing passes."""
        return not self._flowing.is_set()

    @silent.setter
    def silent(self, silent: bool) -> None:
        if silent:
            self._flowing.clear()
        else:
            self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self._path)
        else:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, far_writer}
        for source, target, slow in ((reader, far_writer, False), (far_reader, writer, True)):
            task = asyncio.create_task(self._carry(source, target, slow))
            self._tasks.add(task)

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, slow: bool) -> None:
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def receive() -> None:
            while data := await source.read(65536):
                pieces.put_nowait((loop.time() + (self.delay if slow else 0.0), data))
            pieces.put_nowait((0.0, b""))

        receiver = asyncio.create_task(receive())
        try:
            while True:
                due, data = await pieces.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._flowing.wait()
                if not data:
                    break
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)
            target.close()
