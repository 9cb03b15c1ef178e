"""A lean HTTP/1.1 client over kept-alive connections. Touches: sockets, through asyncio protocols.

One connection carries one request at a time. A request is bytes made once and sent many times; nothing is retried,
because a load test has to see every failure. Costs about 50 microseconds of CPU a request.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from tailrace.clock import Clock, SystemClock
from tailrace.errors import UpstreamError
from tailrace.verify.http1 import MalformedResponseError, Response, ResponseParser

__all__ = ["Connection", "Connections", "ErrorKind", "Exchange", "ExchangeFailedError", "Request"]

MOST_IDLE = 3.0
"""Seconds that a connection may have been idle for. Servers close theirs without a word, uvicorn after 5, and a request
that is sent in that moment is lost: no fault of what is measured."""

ErrorKind = Literal["connect", "timeout", "closed", "malformed"]


class ExchangeFailedError(UpstreamError):
    """A request got no whole response.

    ``kind``: ``connect`` = it was never sent; ``timeout``, ``closed`` and ``malformed`` = it may have had its effect.
    """

    code = "exchange_failed"

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. ``name`` groups results; ``target`` is the path with its query; header names as they go out.

    ``Host`` among the headers takes the place of the address that is connected to.
    """

    name: str
    target: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, host: str) -> bytes:
        """The bytes to send.

        Raises:
            ValueError: a line break in the target or a header.
        """
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        if not any(name.lower() == "host" for name in self.headers):
            lines.append(f"Host: {host}")
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method not in ("GET", "HEAD", "DELETE"):
            lines.append(f"Content-Length: {len(self.body)}")
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError(f"a line break in the request {self.name}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and how it went. Times in monotonic seconds; ``due`` is when it should have begun."""

    request: Request
    due: float
    started: float
    ended: float
    response: Response | None = None
    error: ErrorKind | None = None

    @property
    def latency(self) -> float:
        """Seconds from the moment the request was due."""
        return self.ended - self.due


class Connection(asyncio.Protocol):
    """One kept-alive connection. Made by ``Connections``; ``closed`` is True once it can carry no request."""

    def __init__(self) -> None:
        self.closed = False
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Response] | None = None

    async def send(self, method: str, data: bytes, timeout: float) -> Response:
        """Send one encoded request and wait for its response.

        Raises:
            ExchangeFailedError: no whole response within ``timeout`` seconds; the connection is closed then.
        """
        if self.closed or self._transport is None:
            raise ExchangeFailedError("connect", "the connection is closed")
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._parser.expect(method)
        timer = loop.call_later(timeout, self._fail, "timeout", f"no response within {timeout:g} s")
        self._transport.write(data)
        try:
            response = await self._answer
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()
            self._answer = None
        return response

    def close(self) -> None:
        """Give the connection up. Idempotent."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            response = self._parser.feed(data)
        except MalformedResponseError as error:
            self._fail("malformed", str(error))
            return
        if response is not None:
            self._settle(response)

    def eof_received(self) -> bool:
        response = self._parser.finish()
        self.closed = True
        if response is not None:
            self._settle(response)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._fail("closed", "the connection was lost before the response was whole")

    def _settle(self, response: Response) -> None:
        if self._answer is None or self._answer.done():  # bytes that nobody asked for
            self.close()
            return
        if response.closes:
            self.close()
        self._answer.set_result(response)

    def _fail(self, kind: ErrorKind, message: str) -> None:
        answer = self._answer
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(ExchangeFailedError(kind, message))


class Connections:
    """Kept-alive connections to one server, opened as needed. An asynchronous context manager.

    Args:
        base_url: ``http://host:port`` with an optional path that is put before every target.
        timeout: seconds for each request, and for opening a connection.
        clock: what exchanges are timed by. Not the event loop's own: uvloop's stands still while callbacks run.
    """

    def __init__(self, base_url: str, *, timeout: float = 30.0, clock: Clock | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"not an http address: {base_url}")
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self.clock = clock or SystemClock()
        self._prefix = parts.path.rstrip("/")
        self._host, self._netloc = parts.hostname, parts.netloc.rpartition("@")[2]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._tls else 80)
        self._idle: list[tuple[float, Connection]] = []
        self._encoded: dict[int, tuple[Request, bytes]] = {}

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def open(self) -> Connection:
        """A new connection.

        Raises:
            ExchangeFailedError: of kind ``connect``.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout):
                _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            why = "no connection in time" if isinstance(error, TimeoutError) else error
            raise ExchangeFailedError("connect", f"{self._netloc}: {why}") from error
        return connection

    async def send(self, request: Request, *, timeout: float | None = None) -> Response:
        """Send over a connection that has been idle for at most ``MOST_IDLE`` seconds, or a new one.

        Raises:
            ExchangeFailedError: no whole response.
        """
        connection = self._ready() or await self.open()
        response = await connection.send(request.method, self._encode(request), timeout or self.timeout)
        if not connection.closed:
            self._idle.append((self.clock.monotonic(), connection))
        return response

    async def exchange(self, request: Request, *, due: float | None = None, timeout: float | None = None) -> Exchange:
        """Send and time; failures come back as values."""
        clock = self.clock.monotonic
        started = clock()
        begun = started if due is None else due
        try:
            response = await self.send(request, timeout=timeout)
        except ExchangeFailedError as error:
            return Exchange(request, begun, started, clock(), error=error.kind)
        return Exchange(request, begun, started, clock(), response=response)

    def close(self) -> None:
        """Close every idle connection; one under way closes when its request fails or is cancelled."""
        while self._idle:
            self._idle.pop()[1].close()

    def _ready(self) -> Connection | None:
        """The one that was used last, if any can carry a request still."""
        oldest = self.clock.monotonic() - MOST_IDLE
        while self._idle:
            since, connection = self._idle.pop()
            if since >= oldest and not connection.closed:
                return connection
            connection.close()
        return None

    def _encode(self, request: Request) -> bytes:
        # Remembered by identity, and the request kept beside it so that the identity stays its own.
        kept = self._encoded.get(id(request))
        if kept is not None:
            return kept[1]
        placed = request
        if self._prefix:
            placed = Request(request.name, self._prefix + request.target, request.method, request.headers, request.body)
        data = placed.encode(self._netloc)
        if len(self._encoded) >= 10_000:
            self._encoded.clear()
        self._encoded[id(request)] = (request, data)
        return data
