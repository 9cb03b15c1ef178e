"""The one adapter to the HTTP engine of ``httpx2`` (or of classic ``httpx``). Touches: sockets.

Both packages bring an HTTP/1.1 connection (``httpcore2``, ``httpcore``) that does the protocol on top of h11. Their
own pool looks at every connection and every waiting call each time a call begins or ends, probing idle sockets by a
system call: 50 calls at once cost 100 ms of processor time, against 15 ms for the same connections handed out from a
stack. One origin and a bound on calls (the bulkhead) are all that is needed here, so a stack it is.

A redirect is never followed: where requests go is decided by the settings, not by what answers (SSRF). Proxies and
other environment variables are not read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import aclosing
from types import ModuleType
from typing import Any, Protocol
from urllib.parse import urlsplit

from tailrace.errors import (
    MissingExtraError,
    SettingsError,
    UpstreamError,
    UpstreamUnavailableError,
)
from tailrace.extras import require
from tailrace.upstream.classify import IDEMPOTENT
from tailrace.upstream.message import BodyDecoder, OutgoingRequest, UpstreamResponse, merge_headers
from tailrace.upstream.network import connect

__all__ = ["HttpTransport", "Transport"]

KEEP_ALIVE = 30.0
"""Seconds for which an idle connection is kept."""


class Transport(Protocol):
    """Sends one request and returns its whole answer, whatever its status; keeps no time limit (the caller cancels).

    Raises, from ``send``: ``UpstreamUnavailableError`` if there is no answer or half of one, ``UpstreamError`` for an
    answer that is refused (too large, unknown coding) or a request that cannot be sent.
    """

    async def send(self, request: OutgoingRequest) -> UpstreamResponse: ...

    async def aclose(self) -> None: ...


class HttpTransport:
    """HTTP/1.1 to one origin over kept connections.

    Args:
        name: the dependency, for messages; these never hold header values, paths or queries.
        base_url: ``http://host:port`` or ``https://...``; a path is ignored here.
        keep: most idle connections kept; no fewer than calls under way, or connections are opened again and again.
        max_response_bytes: a larger answer, as received or as decoded, is refused.
        tls: how certificates are checked; default: the system's authorities.

    Raises:
        SettingsError: ``base_url`` is not such a URL.
        MissingExtraError: neither ``httpx2`` nor ``httpx`` is installed.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        keep: int,
        max_response_bytes: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._name = name
        self._engine = _load_engine()
        scheme, self._host, self._port = _origin(name, base_url)
        self._tls = (tls or ssl.create_default_context()) if scheme == "https" else None
        self._origin = self._engine.Origin(scheme.encode(), self._host.encode("ascii"), self._port)
        self._host_header = _host_header(scheme, self._host, self._port)
        self._keep = keep
        self._max_response_bytes = max_response_bytes
        self._idle: deque[Any] = deque()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections kept open and unused."""
        return len(self._idle)

    async def send(self, request: OutgoingRequest) -> UpstreamResponse:
        """Send ``request``; see ``Transport``. Cancelled, it closes the connection it used."""
        if self._closed:
            raise UpstreamError(f"{self._name}: the client is closed")
        connection = await self._take()
        if connection is not None:
            try:
                return await self._exchange(connection, request)
            except _StaleConnection as stale:
                # The server closed it while the request was on its way. That says nothing of the server's health, so
                # what may be sent twice goes out again on a new connection, and no retry is spent.
                if request.method not in IDEMPOTENT:
                    raise stale.error from stale.__cause__
        connection = await self._connect()
        try:
            return await self._exchange(connection, request)
        except _StaleConnection as stale:
            raise stale.error from stale.__cause__

    async def aclose(self) -> None:
        """Close the idle connections, and those in use when their calls end. Idempotent."""
        self._closed = True
        while self._idle:
            await self._idle.popleft().aclose()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn

    async def _take(self) -> Any | None:
        """The idle connection used last, which is the likeliest to be alive."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _give_back(self, connection: Any) -> None:
        if not connection.is_idle():
            return  # the engine has closed it
        if self._closed or len(self._idle) >= self._keep:
            await connection.aclose()
            return
        self._idle.append(connection)
        while self._idle[0].has_expired():  # the longest unused stand first
            await self._idle.popleft().aclose()
            if not self._idle:
                return

    async def _connect(self) -> Any:
        try:
            stream = await connect(self._host, self._port, self._tls)
        except ssl.SSLError as error:
            raise UpstreamError(f"{self._name}: TLS failed ({type(error).__name__})") from error
        except OSError as error:
            raise UpstreamUnavailableError(f"{self._name}: cannot connect ({type(error).__name__})") from error
        return self._engine.AsyncHTTP11Connection(origin=self._origin, stream=stream, keepalive_expiry=KEEP_ALIVE)

    async def _exchange(self, connection: Any, request: OutgoingRequest) -> UpstreamResponse:
        raw = await self._begin(connection, request)
        try:
            body = await self._read(raw)
        finally:
            await raw.stream.aclose()
        await self._give_back(connection)
        return UpstreamResponse(raw.status, merge_headers(raw.headers), body)

    async def _begin(self, connection: Any, request: OutgoingRequest) -> Any:
        """Send, and wait for the head of the answer."""
        engine = self._engine
        outgoing = engine.Request(
            request.method,
            engine.URL(
                scheme=self._origin.scheme, host=self._origin.host, port=self._origin.port, target=request.target
            ),
            headers=[(b"host", self._host_header), *request.headers],
            content=request.body,
        )
        try:
            return await connection.handle_async_request(outgoing)
        except engine.LocalProtocolError as error:
            raise UpstreamError(f"{self._name}: the request has a header or target that cannot be sent") from error
        except (engine.RemoteProtocolError, engine.NetworkError, OSError) as error:
            raise _StaleConnection(self._broken(error)) from error

    async def _read(self, raw: Any) -> bytes:
        """The answer's whole body, decoded."""
        headers = merge_headers(raw.headers)
        decoder = BodyDecoder(self._name, headers.get("content-encoding"), self._max_response_bytes)
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_response_bytes:
            raise UpstreamError(f"{self._name}: answered more than {self._max_response_bytes} bytes")
        try:
            async with aclosing(raw.stream.__aiter__()) as pieces:
                async for piece in pieces:
                    decoder.feed(piece)
        except (self._engine.RemoteProtocolError, self._engine.NetworkError, OSError) as error:
            raise self._broken(error) from error
        return decoder.end()

    def _broken(self, error: Exception) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"{self._name}: the connection or its answer broke ({type(error).__name__})")


class _StaleConnection(Exception):
    """No head of an answer came back; on a connection that had been used before, it may have been closed long ago."""

    def __init__(self, error: UpstreamUnavailableError) -> None:
        super().__init__()
        self.error = error


def _load_engine() -> ModuleType:
    try:
        return require("httpcore2", "upstream")
    except MissingExtraError:
        return require("httpcore", "upstream")


def _origin(name: str, base_url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError:
        raise SettingsError(f"{name}: base_url is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SettingsError(f"{name}: base_url must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError(f"{name}: base_url must hold no credentials, query or fragment")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80)


def _host_header(scheme: str, host: str, port: int) -> bytes:
    shown = f"[{host}]" if ":" in host else host
    default = 443 if scheme == "https" else 80
    return (shown if port == default else f"{shown}:{port}").encode("ascii")
