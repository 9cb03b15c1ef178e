"""Requests passed through to one origin, and its responses passed back, neither held as a whole. Touches: sockets.

What a gateway needs: bodies stream both ways with back-pressure, a response that breaks off is an error and never a
shorter response, and a request is sent twice only where an idle connection turned out to be closed and nothing of the
request can have been acted on twice.

**Source:** RFC 9112 sections 6, 8 (incomplete messages) and 9.3.1 (retrying); RFC 9110 sections 9.2.2 (idempotent
methods) and 10.1.1 (100-continue).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tailrace.errors import GatewayError, UpstreamError, UpstreamTimeoutError
from tailrace.extras import require
from tailrace.upstream.classify import IDEMPOTENT
from tailrace.upstream.http1 import MalformedResponseError, encode_head
from tailrace.upstream.pool import Pool
from tailrace.upstream.stream import StreamReader
from tailrace.upstream.stream_connection import StreamConnection, connect_stream

__all__ = ["Origin", "PassedRequest", "PassedResponse"]

SURELY_OPEN = 1.0
"""Seconds after its last use for which no server closes a connection: what cannot be sent again goes over no other."""

CONTINUE_TIMEOUT = 1.0
"""Seconds to wait for a 100 before the body is sent all the same (RFC 9110 section 10.1.1)."""

Pairs = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class PassedRequest:
    """A request.

    Attributes:
        target: path and query, as they are sent.
        headers: names in lower case, without those of a connection; ``Content-Length`` if that is known.
        host: value of ``Host``; None: the origin's own name.
        body: the pieces of its body; None if it has none.
        expects: it is sent only after a 100 (``Expect: 100-continue``).
        left: returns when nobody waits for the response any more; called when the body has been sent.
    """

    method: str
    target: bytes
    headers: Pairs
    host: bytes | None = None
    body: AsyncIterator[bytes] | None = None
    expects: bool = False
    left: Callable[[], Awaitable[None]] | None = None


class Origin:
    """One server behind a gateway, over kept connections.

    Args:
        base_url: ``http://host:port`` or ``https://...``; a path is ignored here.
        keep: most idle connections kept.
        connect_timeout: seconds to wait for a connection.
        timeout: seconds in which the head must be there once the request has been sent, and seconds without any piece
            of a body, either way, after which the exchange is given up.
        tls: how certificates are checked; default: the system's authorities.

    Raises:
        SettingsError: ``base_url`` is not such a URL.
        MissingExtraError: httptools is not installed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        keep: int = 256,
        connect_timeout: float = 5.0,
        timeout: float = 60.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._parsing = require("httptools", "upstream")
        self._pool = Pool("origin", base_url, connect_stream, keep=keep, tls=tls)
        self._connect_timeout = connect_timeout
        self._timeout = timeout

    @asynccontextmanager
    async def ask(self, request: PassedRequest) -> AsyncIterator[PassedResponse]:
        """The response, once its head is there; leaving the context before its end closes the connection.

        Raises:
            GatewayError: nobody is there, or what comes is no whole response.
            UpstreamTimeoutError: it does not come in time.
            UpstreamError: the request cannot be sent.
        """
        body = request.body is not None
        framing = [(b"host", self._pool.host_header if request.host is None else request.host)]
        if body and not any(name == b"content-length" for name, _ in request.headers):
            framing.append((b"transfer-encoding", b"chunked"))
        try:
            head = encode_head(request.method, request.target, framing, request.headers)
        except ValueError as error:
            raise UpstreamError("the request has a header or target that cannot be sent") from error
        response = None
        repeatable = not body and request.method in IDEMPOTENT
        connection = self._pool.take() if repeatable else self._pool.take(SURELY_OPEN)
        if connection is not None:
            response = self._response(connection, request, len(framing) > 1)
            try:
                await response.begin(head)
            except GatewayError:
                if response.began or response.unwanted or not repeatable:
                    raise
                response = None  # closed while the request was on its way, as an idle connection may be at any time
        if response is None:
            response = self._response(await self._connect(), request, len(framing) > 1)
            await response.begin(head)
        try:
            yield response
        finally:
            connection = response.leave()
            if connection is not None:
                self._pool.give_back(connection)

    async def aclose(self) -> None:
        """Close the idle connections, and those in use when they are given back. Idempotent."""
        await self._pool.aclose()

    def _response(self, connection: StreamConnection, request: PassedRequest, chunked: bool) -> PassedResponse:
        reader = StreamReader(self._parsing, method=request.method)
        return PassedResponse(connection, reader, request, chunked=chunked, timeout=self._timeout)

    async def _connect(self) -> StreamConnection:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await self._pool.connect()
        except TimeoutError as error:
            raise _unasked(UpstreamTimeoutError("the origin accepts no connection")) from error
        except UpstreamError as error:
            raise _unasked(GatewayError(str(error))) from error


def _unasked(error: UpstreamError) -> UpstreamError:
    error.unasked = True
    return error


class PassedResponse:
    """A response under way: an asynchronous iterator over the pieces of its body.

    Args:
        chunked: how the request's body is sent.
        timeout: as ``Origin``'s; None: the caller keeps the time.

    Attributes:
        status, headers: names of the headers are in lower case; they stand in the order in which they came.
        trailers: the fields behind the body, once that has been read.
        unwanted: whoever asked has left.
    """

    def __init__(
        self,
        connection: StreamConnection,
        reader: StreamReader,
        request: PassedRequest,
        *,
        chunked: bool,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._request = request
        self._chunked = chunked
        self._timeout = timeout
        self._timer: asyncio.Timeout | None = None
        self._sending: asyncio.Task[None] | None = None
        self._sent = request.body is None
        self._passed_on = asyncio.Event()
        self.unwanted = False

    @property
    def began(self) -> bool:
        """Whether anything has come."""
        return self._reader.began

    @property
    def status(self) -> int:
        return self._reader.status

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(name.lower(), value) for name, value in self._reader.pairs]

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return [(name.lower(), value) for name, value in self._reader.trailers]

    async def begin(self, head: bytes) -> None:
        """Send the request and wait for the head of the response; raises as ``Origin.ask``."""
        self._connection.begin(self._reader)
        try:
            self._connection.write(head)
            self._sending = asyncio.create_task(self._send(), name="tailrace request body")
            await self._wait(lambda: self._reader.headed)
        except BaseException:
            self.leave()
            raise

    def __aiter__(self) -> PassedResponse:
        return self

    async def __anext__(self) -> bytes:
        reader = self._reader
        self._passed_on.set()
        await self._wait(lambda: reader.held > 0 or reader.whole)
        if not reader.held:
            raise StopAsyncIteration
        piece = reader.take()
        self._connection.read_on()
        return piece

    def leave(self) -> StreamConnection | None:
        """End the exchange; the connection, if it can carry another one."""
        if self._sending is not None:
            self._sending.cancel()
        reader = self._reader
        if self._sent and reader.whole and reader.keep and not reader.held and self._connection.end():
            return self._connection
        self._connection.close()
        return None

    # --- private -----------------------------------------------------------------------------------------------------

    async def _wait(self, there: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(self._timeout) as self._timer:
                while not there():
                    await self._connection.news()
        except TimeoutError as error:
            raise UpstreamTimeoutError("the origin does not go on") from error
        except (MalformedResponseError, OSError) as error:
            raise GatewayError(f"the origin's response broke ({error})") from error
        finally:
            self._timer = None

    async def _send(self) -> None:
        """Send the body; then, if nobody waits for the response any more, end the exchange."""
        request, connection = self._request, self._connection
        try:
            if request.body is not None:
                if request.expects and await self._answered_instead():
                    # A server that is asked for more before it has a status to send would ask its client for the body.
                    await self._passed_on.wait()
                else:
                    await self._send_body(request.body)
            if request.left is not None:
                await request.left()
                self.unwanted = True
                connection.fail(ConnectionAbortedError("the client has left"))
        except ConnectionResetError:
            return  # the connection is lost, which whoever waits for the response learns from it
        except Exception as error:
            connection.fail(error)

    async def _send_body(self, body: AsyncIterator[bytes]) -> None:
        async for piece in body:
            self._connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
            await self._connection.drain()
            self._progress()
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self._sent = True
        self._progress()

    async def _answered_instead(self) -> bool:
        """Wait for a 100; True if the response has come in its place, so that the body is not wanted."""
        try:
            async with asyncio.timeout(CONTINUE_TIMEOUT):
                await self._connection.continued.wait()
        except TimeoutError:
            return False
        return self._reader.headed

    def _progress(self) -> None:
        if self._timer is not None and self._timeout is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time() + self._timeout)
