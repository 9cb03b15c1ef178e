"""Sends requests over kept connections to one origin. Touches: sockets.

A redirect is never followed here: where requests go is decided by the settings, not by what answers (SSRF). Proxies and
other environment variables are not read.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from tailrace.errors import UpstreamError, UpstreamUnavailableError
from tailrace.extras import require
from tailrace.upstream.classify import IDEMPOTENT
from tailrace.upstream.connection import Connection, connect
from tailrace.upstream.http1 import MalformedResponseError, ResponseReader, encode_request
from tailrace.upstream.message import OutgoingRequest, UpstreamResponse
from tailrace.upstream.pool import Pool

__all__ = ["HttpTransport", "Transport"]

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
        self._media_types = media_types
        self._parsing = require("httptools", "upstream")
        self._pool = Pool(name, base_url, connect, keep=keep, tls=tls)
        self._max_response_bytes = max_response_bytes

    @property
    def idle(self) -> int:
        """Connections kept open and unused."""
        return len(self._pool)

    async def send(self, request: OutgoingRequest) -> UpstreamResponse:
        """Send ``request``; see ``Transport``. Cancelled, it closes the connection it used."""
        try:
            data = encode_request(request, self._pool.host_header)
        except ValueError as error:
            raise UpstreamError(f"{self._name}: the request has a header or target that cannot be sent") from error
        connection = self._pool.take()
        if connection is not None:
            reader = self._reader(request)
            try:
                return await self._exchange(connection, data, reader)
            except UpstreamUnavailableError:
                # Closed by the server while the request was on its way, as an idle connection may be at any time. That
                # says nothing of the server's health, so what may be sent twice goes out again and no retry is spent.
                if reader.began or request.method not in IDEMPOTENT:
                    raise
        return await self._exchange(await self._pool.connect(), data, self._reader(request))

    async def aclose(self) -> None:
        """Close the idle connections, and those in use when their calls end. Idempotent."""
        await self._pool.aclose()

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
        self._pool.give_back(connection)
        return reader.response()
