"""Clients that listen to event streams of one server, as lean as they can be. Touches: sockets, the monotonic clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import quote

from bench.asking import HOST
from bench.contender import NotWorkingError
from tailrace.verify.client import Connections, Request

__all__ = ["PATIENCE", "Audience"]

AT_ONCE = 50
"""Clients that connect at once."""
PATIENCE = 60.0
"""Seconds in which clients must be told something."""


class Client(asyncio.Protocol):
    """Listens to one stream.

    Args:
        name: of the stream.
        hear: is told what it says.
    """

    def __init__(self, name: str, hear: Callable[[str], None]) -> None:
        self.name = name
        self._hear = hear
        self._rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"GET /stream?name=%b HTTP/1.1\r\nHost: bench\r\n\r\n" % quote(self.name).encode())

    def data_received(self, data: bytes) -> None:
        """Take what was said, without what frames it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                self._hear(line[6:].strip().decode())


class Audience:
    """Clients of one server.

    Args:
        port: the server's, or of what stands before it.
        prefix: of their streams' names.
    """

    def __init__(self, port: int, prefix: str) -> None:
        self._port = port
        self._prefix = prefix
        self._missing = 0
        self._all = asyncio.Event()
        self._delays: list[float] = []
        self.clients: list[Client] = []

    async def join(self, count: int) -> None:
        """So many more, each of which has heard that its stream is open."""
        for start in range(0, count, AT_ONCE):
            names = [f"{self._prefix}{len(self.clients) + each}" for each in range(min(AT_ONCE, count - start))]
            self._expect(len(names))
            loop = asyncio.get_running_loop()
            made = [
                loop.create_connection(lambda name=name: Client(name, self._hear), HOST, self._port) for name in names
            ]
            self.clients += [client for _, client in await asyncio.gather(*made)]
            await self._complete()

    async def told(self, server: Connections) -> list[float]:
        """How long it took until each had what the server told all of them, in seconds."""
        self._delays = []
        self._expect(len(self.clients))
        await server.send(Request("tell", "/tell"))
        await self._complete()
        return self._delays

    def leave(self) -> None:
        """All hang up."""
        for client in self.clients:
            client.transport.close()

    def _expect(self, count: int) -> None:
        self._missing = count
        self._all.clear()

    async def _complete(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._all.wait()
        except TimeoutError:
            raise NotWorkingError(f"{self._missing} of {len(self.clients)} clients were told nothing") from None

    def _hear(self, said: str) -> None:
        if said != "open":
            self._delays.append(time.monotonic() - float(said))
        self._missing -= 1
        if self._missing == 0:
            self._all.set()
