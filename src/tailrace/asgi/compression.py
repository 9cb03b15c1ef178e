"""Compression: responses in the coding that the client likes best. Touches: the compressor.

A whole body is encoded at once and sent with its length; one that would not shrink, or is small, is sent as it is. A
stream is encoded as a stream and flushed after each part, so that nothing the application sent is held back. Event
streams are left alone unless the settings name their type: each would keep a window of memory for hours, for little.

Left alone as well: what ``may_encode`` says, answers to HEAD (whose fields are those of the GET), and what the server
sends from a file by itself (``http.response.pathsend``, ``http.response.zerocopysend``). An application opts out with
``Cache-Control: no-transform``, which proxies obey too, or with ``Content-Encoding: identity``, which is taken away.

Secrets: where a response repeats what the request said beside a secret, its compressed length tells of the secret
(BREACH). Such routes should opt out.

**Source:** RFC 9110 sections 8.4, 8.6, 9.3.2 and 12.5.3; the ASGI specification, HTTP and its extensions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from tailrace.asgi.codec_streams import Encoder
from tailrace.asgi.compressor import Compressor
from tailrace.asgi.content_encoding import (
    VARY_FIELD,
    application_conditions,
    encoded_fields,
    leaves_range,
    may_encode,
    not_modified_fields,
    opted_out,
    size_fields,
    with_vary,
    without_encoding,
)
from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.headers import read_headers
from tailrace.asgi.instruments import instruments
from tailrace.asgi.types import ASGIApp, Header, Message, Receive, Scope, Send
from tailrace.core.content_negotiation import IDENTITY
from tailrace.events import Observer
from tailrace.settings import CompressionSettings

__all__ = ["CompressionMiddleware", "EncodedResponse", "Encodes"]

RANGE = frozenset({b"range", b"if-range"})
USUAL = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"etag",
        b"last-modified",
        b"link",
        b"location",
        b"set-cookie",
        b"vary",
    }
)
"""Fields that most responses have no others than; seen to be in lower case, they need not be made so."""
MOST_DIGITS = 20
"""Digits of a length that somebody could mean."""

BY_THE_SERVER = frozenset({"http.response.pathsend", "http.response.zerocopysend"})

Skip = Callable[[Scope], bool]
"""Asked when a response begins, with the scope as the router left it: True to leave the response alone."""


class CompressionMiddleware:
    """Compresses responses.

    Args:
        app: the application.
        settings: types, sizes, efforts.
        skip: which responses to leave alone.
        observer: counts what is compressed, or receives ``ResponseCompressed``.
        encodes: in place of those three, what other layers encode with as well.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: CompressionSettings | None = None,
        skip: Skip | None = None,
        observer: Observer | None = None,
        encodes: Encodes | None = None,
    ) -> None:
        self.app = app
        self._encodes = encodes or Encodes(Compressor(settings), skip=skip, observer=observer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        if exchange.encoded_outside:
            await self.app(scope, receive, send)
            return
        fields = exchange.headers
        scope = self._as_the_application_knows(exchange, scope)
        await self.app(scope, receive, EncodedResponse(self._encodes, scope, fields, send).send)

    def _as_the_application_knows(self, exchange: Exchange, scope: Scope) -> Scope:
        """The scope with conditions about encoded bytes turned into such about the application's own."""
        fields = exchange.headers
        headers: list[Header] | None = None
        if b"if-none-match" in fields or b"if-match" in fields:
            headers = application_conditions(scope["headers"])
        if b"if-range" in fields:
            encoding = self._encodes.compressor.choose(fields.get(b"accept-encoding")).encoding
            if leaves_range(fields, encoding):
                headers = [header for header in headers or scope["headers"] if header[0] not in RANGE]
        if headers is None:
            return scope
        inner = exchange.scope = {**scope, "headers": headers}
        exchange.headers = read_headers(headers)
        return inner


class Encodes:
    """What all responses of an application are encoded with.

    Args:
        compressor: encodes.
        skip: which responses to leave alone.
        observer: counts what is compressed, or receives ``ResponseCompressed``.
    """

    __slots__ = ("_instruments", "_records", "compressor", "skip")

    def __init__(
        self,
        compressor: Compressor,
        *,
        skip: Skip | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.compressor = compressor
        self.skip = skip
        self._instruments = None if observer is None else instruments(observer)
        self._records: dict[str, Callable[[int, int], None]] = {}

    def concerns(self, status: int, fields: Mapping[bytes, bytes], scope: Scope) -> bool:
        """True if a response is one of those whose coding is negotiated. ``fields`` are by lower-case name."""
        return (
            self.compressor.compressible(fields.get(b"content-type"))
            and may_encode(status, fields)
            and not (self.skip is not None and self.skip(scope))
        )

    def shrink_here(self, body: bytes, accept: bytes | None) -> tuple[str, bytes] | None:
        """A body as a request with this ``Accept-Encoding`` is to have it, and its coding.

        Returns:
            None if that takes so long that ``shrink`` should be awaited.
        """
        encoding = self.compressor.wanted(accept, len(body)) if body else IDENTITY
        if encoding == IDENTITY:
            return IDENTITY, body
        encoded = self.compressor.encode_here(body, encoding)
        return None if encoded is None else self._shrunk(body, encoding, encoded, accept)

    async def shrink(self, body: bytes, accept: bytes | None) -> tuple[str, bytes]:
        """The same, in a thread where it takes long."""
        found = self.shrink_here(body, accept)
        if found is not None:
            return found
        encoding = self.compressor.wanted(accept, len(body))
        return self._shrunk(body, encoding, await self.compressor.encode(body, encoding), accept)

    def _shrunk(self, body: bytes, encoding: str, encoded: bytes, accept: bytes | None) -> tuple[str, bytes]:
        self.report(encoding, len(body), len(encoded))
        if len(encoded) >= len(body) and self.compressor.choose(accept).identity_allowed:
            return IDENTITY, body
        return encoding, encoded

    def report(self, encoding: str, original: int, encoded: int) -> None:
        """Count a body that was compressed: its bytes before and after."""
        if self._instruments is None:
            return
        record = self._records.get(encoding)
        if record is None:
            record = self._records[encoding] = self._instruments.compressions(encoding)
        record(original, encoded)


class EncodedResponse:
    """One response, of which what goes through ``send`` is encoded.

    The start waits for the first part of the body, which decides; ASGI lets servers wait in the same way.

    Args:
        encodes: what with.
        scope: the request's, as the application has it.
        fields: of the request, as the client sent them, by lower-case name.
        send: where to.
    """

    __slots__ = (
        "_complete",
        "_declared",
        "_encoder",
        "_encodes",
        "_encoding",
        "_fields",
        "_scope",
        "_send",
        "_sizes",
        "_start",
    )

    def __init__(self, encodes: Encodes, scope: Scope, fields: Mapping[bytes, bytes], send: Send) -> None:
        self._encodes = encodes
        self._scope = scope
        self._fields = fields
        self._send = send
        self._start: Message | None = None
        self._declared: int | None = None
        self._encoding = IDENTITY
        self._encoder: Encoder | None = None
        self._complete = False
        self._sizes = (0, 0)

    def send(self, message: Message) -> Awaitable[None]:
        """Take the application's next message."""
        kind = message["type"]
        if kind == "http.response.start":
            return self._decide(message)
        if kind == "http.response.body":
            if self._start is not None:
                return self._first(self._start, message)
            if self._encoder is not None:
                return self._next(self._encoder, message)
            if self._complete and not message.get("body"):
                return _nothing()  # an empty rest, or the end, of a body that was complete before it
        elif self._start is not None and kind in BY_THE_SERVER:
            return self._as_it_is(self._start, message)
        return self._send(message)

    def _decide(self, message: Message) -> Awaitable[None]:
        """Send the start of what is left alone; keep the start of what is to be encoded."""
        headers: list[Header] = list(message.get("headers", ()))
        fields = read_headers(headers)
        if not USUAL.issuperset(fields):
            headers = [(name.lower(), value) for name, value in headers]
            fields = read_headers(headers)
        accept = self._fields.get(b"accept-encoding")
        compressor = self._encodes.compressor
        status = message["status"]
        if status == 304:
            asked = self._fields.get(b"if-none-match")
            headers = not_modified_fields(headers, asked, compressor.choose(accept).encoding)
        elif b"content-encoding" in fields:
            headers = without_encoding(headers) if opted_out(fields) else headers
        elif self._encodes.concerns(status, fields, self._scope):
            headers = with_vary(headers) if b"vary" in fields else [*headers, VARY_FIELD]
            length = fields.get(b"content-length", b"")
            declared = int(length) if length.isdigit() and len(length) < MOST_DIGITS else None
            encoding = compressor.wanted(accept, compressor.settings.minimum_size if declared is None else declared)
            if encoding != IDENTITY:
                if self._scope["method"] != "HEAD":
                    self._declared = declared
                    self._encoding = encoding
                    self._start = {**message, "headers": headers}
                    return _nothing()
                if declared:
                    headers = encoded_fields(headers, encoding, None)
        return self._send({**message, "headers": headers})

    async def _as_it_is(self, start: Message, message: Message) -> None:
        self._start = None
        await self._send(start)
        await self._send(message)

    def _first(self, start: Message, message: Message) -> Awaitable[None]:
        body = message.get("body", b"")
        if not message.get("more_body", False) or (body and len(body) == self._declared):
            self._complete = True
            return self._whole(start, body)
        return self._stream(start, message)

    async def _stream(self, start: Message, message: Message) -> None:
        self._start = None
        encoder = self._encoder = self._encodes.compressor.encoder(self._encoding)
        await self._send({**start, "headers": encoded_fields(start["headers"], self._encoding, None)})
        await self._next(encoder, message)

    async def _whole(self, start: Message, body: bytes) -> None:
        accept = self._fields.get(b"accept-encoding")
        encoding, encoded = self._encodes.shrink_here(body, accept) or await self._encodes.shrink(body, accept)
        self._start = None
        if encoding != IDENTITY:
            headers = encoded_fields(start["headers"], encoding, len(encoded))
            if self._encodes.compressor.settings.report:
                headers += size_fields(len(body), len(encoded))
            start["headers"] = headers
        await self._send(start)
        await self._send({"type": "http.response.body", "body": encoded, "more_body": False})

    async def _next(self, encoder: Encoder, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        write = self._encodes.compressor.write
        if not more:
            part = await write(encoder.finish, body, self._encoding)
        else:
            part = await write(encoder.write, body, self._encoding) if body else b""
        self._sizes = (self._sizes[0] + len(body), self._sizes[1] + len(part))
        if not more:
            self._encoder = None
            self._encodes.report(self._encoding, *self._sizes)
        await self._send({**message, "body": part, "more_body": more})


async def _nothing() -> None:
    return None
