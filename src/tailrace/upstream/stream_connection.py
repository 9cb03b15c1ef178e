"""One connection whose responses are read while they arrive, straight on asyncio. Touches: sockets.

Reading pauses while nobody takes what came, and writing waits for the other side. Time limits are not kept here.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import cast

from tailrace.upstream.stream import StreamReader

__all__ = ["StreamConnection", "connect_stream"]

HIGH_WATER = 256 * 1024
"""Bytes of a body that are held for a client that reads more slowly than the origin sends."""


async def connect_stream(
    host: str, port: int, tls: ssl.SSLContext | None, *, name: str | None = None
) -> StreamConnection:
    """Open a connection; with ``tls``, its certificate is checked against ``name``, by default ``host``.

    Raises:
        OSError: it cannot be reached; ``ssl.SSLError`` (an ``OSError``): its certificate or protocol is not accepted.
    """
    _, connection = await asyncio.get_running_loop().create_connection(
        StreamConnection, host, port, ssl=tls, server_hostname=(name or host) if tls is not None else None
    )
    return connection


class StreamConnection(asyncio.Protocol):
    """From the moment it is made until it is lost; it never comes back.

    Attributes:
        continued: set when a 100 has come, or the response, or the end.
        closed: it carries nothing any more.
        idle_since: the event loop's time at the end of the last exchange.
        keep_for: seconds from then on for which the server keeps it, as it said itself.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: StreamReader | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self.continued = asyncio.Event()
        self.closed = False
        self.idle_since = self._loop.time()
        self.keep_for = math.inf

    def begin(self, reader: StreamReader) -> None:
        """Carry another exchange."""
        self._reader = reader
        self.continued.clear()

    def end(self) -> bool:
        """The exchange is over; True if another one may follow."""
        if self._reader is not None:
            self.keep_for = self._reader.keep_for
        self._reader = None
        self.idle_since = self._loop.time()
        assert self._transport is not None
        return not (self.closed or self._failure is not None or self._transport.get_write_buffer_size())

    def write(self, data: bytes) -> None:
        """Send ``data``; nothing happens on a connection that is lost."""
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side has read enough.

        Raises:
            OSError: it never will.
        """
        await self._writable.wait()
        if self.closed:
            raise ConnectionResetError("the connection is closed")

    def read_on(self) -> None:
        """Let more come."""
        if self._paused and not self.closed and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    async def news(self) -> None:
        """Return when something has happened.

        Raises:
            Exception: the exchange failed, by this.
        """
        if self._failure is not None:
            raise self._failure
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def fail(self, error: Exception) -> None:
        """End the exchange by ``error``."""
        if self._failure is None:
            self._failure = error
        self.close()
        self._wake()

    def close(self) -> None:
        """Let go at once. Idempotent."""
        self.closed = True
        self._writable.set()
        if self._transport is not None:
            self._transport.abort()

    # --- called by the event loop ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            self.close()  # an answer that nobody asked for
            return
        try:
            reader.feed(data)
        except Exception as error:
            self.fail(error)
            return
        if reader.continued or reader.headed:
            self.continued.set()
        if reader.held > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        self.continued.set()
        reader = self._reader
        if reader is None or reader.whole:
            self._wake()
            return
        try:
            whole = exc is None and reader.end()
        except Exception as error:
            self.fail(error)
            return
        if whole:
            self._wake()
        else:
            self.fail(exc or ConnectionResetError("the connection ended before the response"))

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
