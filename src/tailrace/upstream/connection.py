"""One connection that carries one request at a time, straight on asyncio. Touches: sockets.

Time limits are not kept here: the caller cancels.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from typing import cast

from tailrace.upstream.http1 import ResponseReader

__all__ = ["Connection", "connect"]


async def connect(host: str, port: int, tls: ssl.SSLContext | None, *, name: str | None = None) -> Connection:
    """Open a connection; with ``tls``, its certificate is checked against ``name``, by default ``host``.

    Raises:
        OSError: it cannot be reached; ``ssl.SSLError`` (an ``OSError``): its certificate or protocol is not accepted.
    """
    _, connection = await asyncio.get_running_loop().create_connection(
        Connection, host, port, ssl=tls, server_hostname=(name or host) if tls is not None else None
    )
    return connection


class Connection(asyncio.Protocol):
    """From the moment it is made until it is lost; it never comes back.

    Attributes:
        closed: it carries nothing any more.
        idle_since: the event loop's time at the end of the last exchange.
        keep_for: seconds from then on for which the server keeps it; nothing is known of that.
    """

    __slots__ = ("_answer", "_loop", "_reader", "_transport", "closed", "idle_since", "keep_for")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._answer: asyncio.Future[None] | None = None
        self.closed = False
        self.idle_since = self._loop.time()
        self.keep_for = math.inf

    async def exchange(self, request: bytes, reader: ResponseReader) -> None:
        """Send ``request`` and return when ``reader`` has taken in the whole response.

        Whatever else happens, cancellation included, closes the connection; so does a response after which no other
        request may follow.

        Raises:
            OSError: the connection was lost before that.
            MalformedResponseError, UpstreamError: as ``ResponseReader``.
        """
        if self.closed or self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._reader = reader
        self._answer = self._loop.create_future()
        try:
            self._transport.write(request)
            await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self._reader = self._answer = None
        self.idle_since = self._loop.time()
        if not reader.keep or self._transport.get_write_buffer_size():
            self.close()  # also when it was answered before the request had left as a whole

    def close(self) -> None:
        """Let go at once: nothing is left to be said, and a graceful end would wait for the other side. Idempotent."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # --- called by the event loop ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.close()  # an answer that nobody asked for
            return
        try:
            whole = self._reader.feed(data)
        except Exception as error:
            self._fail(error)
        else:
            if whole:
                self._succeed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._reader is None:
            return
        try:
            whole = exc is None and self._reader.end()
        except Exception as error:
            self._fail(error)
            return
        if whole:
            self._succeed()
        else:
            self._fail(exc or ConnectionResetError("the connection ended"))

    # --- private -----------------------------------------------------------------------------------------------------

    def _succeed(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
