"""Request decoding: bodies sent with ``Content-Encoding`` reach the application as they were before it.

Touches: the compression libraries. Or they are refused, which is Tailrace's default: who takes compressed bodies takes
bombs, and a framework that knows nothing of codings takes coded bytes for JSON. Where they are taken, a body is
decompressed in small pieces, only as the application reads it, and no further than a size and a ratio allow.

One coding at a time: several in one message are refused, since each multiplies what one byte can become.

**Source:** RFC 9112 section 6.3 (which requests have a body); RFC 9110 sections 8.4 (Content-Encoding), 15.5.14 (413),
15.5.16 (415, with ``Accept-Encoding``); RFC 7694 section 3 (``identity`` where no coding is taken).
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from tailrace.asgi.codec_streams import Decoder
from tailrace.asgi.codecs import installed_codecs
from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.headers import read_headers, without
from tailrace.asgi.reading import Reading
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.core.content_negotiation import ALIASES, IDENTITY
from tailrace.errors import RequestError
from tailrace.settings import CompressionSettings

__all__ = ["RequestDecodingMiddleware"]

PIECE = 64 * 1024
"""Bytes decompressed at once, about 0.2 ms; and what may be had of any body, however small, before its ratio counts."""

INVALID = "content_encoding_invalid"

ABOUT_THE_CODED = frozenset({b"content-encoding", b"content-length"})


class RequestDecodingMiddleware:
    """Decompresses request bodies, or refuses those that are compressed.

    Args:
        app: the application.
        settings: codings and bounds.
        decode: False takes no coding.

    Raises:
        RequestError: 415 for a coding that is not taken; 400 for a body that is not what its coding says; 413 for one
            beyond the bounds. ``ProblemDetailsMiddleware`` answers them.
    """

    def __init__(self, app: ASGIApp, *, settings: CompressionSettings | None = None, decode: bool = True) -> None:
        self.app = app
        self._settings = settings or CompressionSettings()
        self._codecs = installed_codecs(self._settings) if decode else {}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Hardly any request has a coding: the others get no coroutine of this layer's.
        if scope["type"] != "http" or b"content-encoding" not in exchange_of(scope).headers:
            return self.app(scope, receive, send)
        return self._decode(scope, receive, send)

    async def _decode(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        named = exchange.headers[b"content-encoding"]
        name = named.strip().lower().decode("latin-1")
        name = ALIASES.get(name, name)
        if not _has_body(scope, exchange.headers):  # nothing is nothing in every coding
            name = IDENTITY
        headers = without(scope["headers"], ABOUT_THE_CODED if name != IDENTITY else frozenset({b"content-encoding"}))
        inner = exchange.scope = {**scope, "headers": headers}
        exchange.headers = read_headers(headers)
        if name == IDENTITY:
            await self.app(inner, receive, send)
            return
        codec = self._codecs.get(name)
        if codec is None:
            raise _Unsupported(tuple(self._codecs))
        await _DecodedReading(codec.decoder(), self._settings, receive, send).serve(self.app, inner)


class _Unsupported(RequestError):
    """The body's coding is not taken; the answer names those that are."""

    def __init__(self, known: tuple[str, ...]) -> None:
        also = f", or with one of these codings: {', '.join(known)}" if known else ", without Content-Encoding"
        super().__init__(
            f"Send the body as it is{also}.",
            status=415,
            code="content_encoding_unsupported",
        )
        self.headers = ((b"accept-encoding", ", ".join(known or (IDENTITY,)).encode("ascii")),)


def _has_body(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether there is one; over HTTP/2 nothing need say so."""
    declared = headers.get(b"content-length")
    if declared is not None:
        return declared != b"0"
    return b"transfer-encoding" in headers or not scope.get("http_version", "1.1").startswith("1")


class _DecodedReading(Reading):
    """A body that is decompressed as the application reads it."""

    __slots__ = ("_decoded", "_decoder", "_ended", "_last", "_received", "_settings")

    def __init__(self, decoder: Decoder, settings: CompressionSettings, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._decoder = decoder
        self._settings = settings
        self._received = self._decoded = 0
        self._last = self._ended = False

    async def read(self) -> Message:
        """The next piece of the body; after its end, that the client leaves."""
        data = b""
        if self._ended or (self._decoder.hungry and not self._last):
            message = await self._receive()
            if self._ended or message["type"] != "http.request":
                return message
            data = message.get("body", b"")
            self._received += len(data)
            self._last = not message.get("more_body", False)
        return {"type": "http.request", "body": self._piece(data), "more_body": not self._ended}

    def _piece(self, data: bytes) -> bytes:
        try:
            piece = self._decoder.read(data, PIECE)
        except ValueError as error:
            raise self.refuse("The body is not what its Content-Encoding says.", 400, INVALID) from error
        self._decoded += len(piece)
        allowed = max(PIECE, self._received * self._settings.max_request_ratio)
        if self._decoded > min(self._settings.max_request_bytes, allowed):
            raise self.refuse("The body is too large when it is decompressed.", 413, "content_too_large")
        self._ended = self._last and self._decoder.hungry
        if self._ended and self._received and not self._decoder.finished:
            raise self.refuse("The body is not complete.", 400, INVALID)
        return piece
