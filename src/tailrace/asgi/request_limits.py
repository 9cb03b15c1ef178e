"""Request limits: header fields and body have an end, whatever the application would have read. Touches nothing.

Servers differ in what they let pass: some have no bound on header fields at all. A body whose length is declared is
refused before a byte of it is read; the server keeps a body to its declared length. One without a length (chunked, or
HTTP/2) is counted as the application reads it. What is counted is what was sent, before any decompression.

**Source:** RFC 9110 sections 8.6 (Content-Length) and 15.5.14 (413); RFC 6585 section 5 (431).
"""

from __future__ import annotations

import sys

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.reading import Reading
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.errors import RequestError

__all__ = ["RequestLimitsMiddleware"]

DIGITS = 18
"""A declared length of more digits than this is above any limit."""


MAX_FIELDS = 200
"""Header fields; browsers send about 20, proxies add some."""


class RequestLimitsMiddleware:
    """Refuses what is too large.

    Args:
        app: the application.
        max_body: bytes of a body; 0 is no limit.
        max_headers: bytes of all values of header fields together, of which there may be 200.

    Raises:
        RequestError: 413 for the body, 431 for the header fields, 400 for a length that is not a number.
            ``ProblemDetailsMiddleware`` answers them.
    """

    def __init__(self, app: ASGIApp, *, max_body: int, max_headers: int = 64 * 1024) -> None:
        self.app = app
        self._limit = max_body or sys.maxsize
        self._max_headers = max_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = exchange_of(scope).headers
        if len(scope["headers"]) > MAX_FIELDS or sum(map(len, headers.values())) > self._max_headers:
            raise RequestError("The header fields are too large.", status=431, code="headers_too_large")
        declared = headers.get(b"content-length")
        if declared is not None and b"transfer-encoding" not in headers:
            self._check(declared)
        elif b"transfer-encoding" in headers or not scope.get("http_version", "1.1").startswith("1"):
            await _BoundedReading(self._limit, receive, send).serve(self.app, scope)
            return
        await self.app(scope, receive, send)

    def _check(self, declared: bytes) -> None:
        if not declared.isdigit():
            raise RequestError("Content-Length is not a number of bytes.", status=400, code="content_length_invalid")
        if len(declared) > DIGITS or int(declared) > self._limit:
            raise RequestError(_too_large(self._limit), status=413, code="content_too_large")


class _BoundedReading(Reading):
    """A body of a length that nobody told."""

    __slots__ = ("_limit", "_taken")

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._limit = limit
        self._taken = 0

    async def read(self) -> Message:
        """The next message, as long as the body is within the limit."""
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > self._limit:
            raise self.refuse(_too_large(self._limit), 413, "content_too_large")
        return message


def _too_large(limit: int) -> str:
    return f"The body must not be longer than {limit} bytes."
