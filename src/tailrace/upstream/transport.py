"""Sends requests over kept connections to one origin. Touches: sockets.

One origin and a bound on calls (the bulkhead) are all that is needed here, so the pool is a stack: the connection used
last is the likeliest to be alive, and nothing is looked at that is not used.

A redirect is never followed here: where requests go is decided by the settings, not by what answers (SSRF). Proxies and
other environment variables are not read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol
from urllib.parse import urlsplit

from tailrace.errors import SettingsError, UpstreamError, UpstreamUnavailableError
from tailrace.extras import require
from tailrace.upstream.classify import IDEMPOTENT
from tailrace.upstream.connection import Connection, connect
from tailrace.upstream.http1 import MalformedResponseError, ResponseReader, encode_request
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse

__all__ = ["HttpTransport", "Transport"]

KEEP_ALIVE = 60.0
"""Seconds for which an idle connection is kept. Most servers and balancers keep theirs as long; where one does not, the
call that finds out goes out again on a new connection."""


Connect = Callable[[str, int, ssl.SSLContext | None], Awaitable[Connection]]
"""Opens a connection to a host and port, with TLS or without; raises ``OSError`` if it cannot."""


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
        connect: in place of a connection to whatever address the host resolves to.
        media_types: lower case; a 2xx answer of another, or of none, is refused before its body is read. Empty: any.

    Raises:
        SettingsError: ``base_url`` is not such a URL.
        MissingExtraError: httptools is not installed.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        keep: int,
        max_response_bytes: int,
        tls: ssl.SSLContext | None = None,
        connect: Connect = connect,
        media_types: Collection[str] = (),
    ) -> None:
        self._name = name
        self._open = connect
        self._media_types = media_types
        self._parsing = require("httptools", "upstream")
        scheme, self._host, self._port = _origin(name, base_url)
        self._tls = (tls or ssl.create_default_context()) if scheme == "https" else None
        self._host_header = _host_header(scheme, self._host, self._port)
        self._keep = keep
        self._max_response_bytes = max_response_bytes
        self._idle: deque[Connection] = deque()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections kept open and unused."""
        return len(self._idle)

    async def send(self, request: OutgoingRequest) -> UpstreamResponse:
        """Send ``request``; see ``Transport``. Cancelled, it closes the connection it used."""
        if self._closed:
            raise UpstreamError(f"{self._name}: the client is closed")
        try:
            data = encode_request(request, self._host_header)
        except ValueError as error:
            raise UpstreamError(f"{self._name}: the request has a header or target that cannot be sent") from error
        connection = self._take()
        if connection is not None:
            reader = self._reader(request)
            try:
                return await self._exchange(connection, data, reader)
            except UpstreamUnavailableError:
                # Closed by the server while the request was on its way, as an idle connection may be at any time. That
                # says nothing of the server's health, so what may be sent twice goes out again and no retry is spent.
                if reader.began or request.method not in IDEMPOTENT:
                    raise
        return await self._exchange(await self._connect(), data, self._reader(request))

    async def aclose(self) -> None:
        """Close the idle connections, and those in use when their calls end. Idempotent."""
        self._closed = True
        while self._idle:
            self._idle.popleft().close()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn

    def _take(self) -> Connection | None:
        """The idle connection used last."""
        oldest = asyncio.get_running_loop().time() - KEEP_ALIVE
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and connection.idle_since >= oldest:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.closed:
            return
        if self._closed or len(self._idle) >= self._keep:
            connection.close()
            return
        self._idle.append(connection)
        oldest = connection.idle_since - KEEP_ALIVE
        while self._idle[0].closed or self._idle[0].idle_since < oldest:  # the longest unused stand first
            self._idle.popleft().close()

    async def _connect(self) -> Connection:
        try:
            return await self._open(self._host, self._port, self._tls)
        except ssl.SSLError as error:
            raise UpstreamError(f"{self._name}: TLS failed ({type(error).__name__})") from error
        except OSError as error:
            raise UpstreamUnavailableError(f"{self._name}: cannot connect ({type(error).__name__})") from error

    def _reader(self, request: OutgoingRequest) -> ResponseReader:
        return ResponseReader(
            self._parsing,
            name=self._name,
            method=request.method,
            limit=self._max_response_bytes,
            media_types=self._media_types,
        )

    async def _exchange(self, connection: Connection, data: bytes, reader: ResponseReader) -> UpstreamResponse:
        try:
            await connection.exchange(data, reader)
        except (MalformedResponseError, OSError) as error:
            raise UpstreamUnavailableError(
                f"{self._name}: the connection or its answer broke ({type(error).__name__})"
            ) from error
        self._give_back(connection)
        return reader.response()


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
