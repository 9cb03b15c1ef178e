"""Byte streams for the HTTP engine, straight on asyncio. Touches: sockets.

The engine brings streams built on anyio; with many calls under way those cost more than the HTTP itself (``transport``
has the figures), so it is given these. Time limits are not kept here: the caller cancels.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any, cast

__all__ = ["AsyncioStream", "connect"]

_READ_AHEAD = 256 * 1024
"""Bytes taken from the socket before its sender is told to wait."""


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> AsyncioStream:
    """Open a connection; with ``tls``, its certificate is checked against ``host``.

    Raises:
        OSError: it cannot be reached; ``ssl.SSLError`` (an ``OSError``): its certificate or protocol is not accepted.
    """
    _, protocol = await asyncio.get_running_loop().create_connection(
        _StreamProtocol, host, port, ssl=tls, server_hostname=host if tls is not None else None
    )
    return AsyncioStream(protocol)


class AsyncioStream:
    """One connection, in the shape of the engine's ``AsyncNetworkStream``; its ``timeout`` arguments are ignored."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: _StreamProtocol) -> None:
        self._protocol = protocol

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes as they came (perhaps more than ``max_bytes``), empty at the end.

        Raises:
            OSError: the connection was lost.
        """
        return await self._protocol.read()

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send, waiting while the other side takes nothing.

        Raises:
            OSError: the connection is gone.
        """
        await self._protocol.write(buffer)

    async def aclose(self) -> None:
        """Let the connection go."""
        self._protocol.close()

    def get_extra_info(self, info: str) -> Any:
        """``is_readable``: something (the end, for an idle connection) has come in."""
        return self._protocol.readable if info == "is_readable" else None

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncioStream:
        """Not needed: ``connect`` opens TLS itself."""
        raise NotImplementedError


class _StreamProtocol(asyncio.Protocol):
    """Keeps what came in until it is read, and tells the transport when to pause."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pieces: deque[bytes] = deque()
        self._buffered = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._paused_reading = False
        self._paused_writing = False
        self._ended = False
        self._lost: Exception | None = None

    @property
    def readable(self) -> bool:
        return bool(self._pieces) or self._ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._buffered += len(data)
        if self._buffered > _READ_AHEAD and not self._paused_reading and self._transport is not None:
            self._transport.pause_reading()
            self._paused_reading = True
        _wake(self._reader)

    def eof_received(self) -> None:
        self._ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._lost = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        _wake(self._writer)

    async def read(self) -> bytes:
        if not self._pieces and not self._ended:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._pieces:
            if self._lost is not None:
                raise self._lost
            return b""
        piece = self._pieces.popleft()
        self._buffered -= len(piece)
        if self._paused_reading and self._buffered <= _READ_AHEAD and self._transport is not None:
            self._transport.resume_reading()
            self._paused_reading = False
        return piece

    async def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise self._lost or ConnectionResetError("the connection is closed")
        self._transport.write(data)
        if self._paused_writing:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            if self._lost is not None:
                raise self._lost

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()  # nothing is left to be said; a graceful end would wait for the other side


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
