"""HTTP/1.1 as bytes: a request to send, and one response out of what comes back. Pure; ``llhttp`` does the parsing.

The parser is that of Node.js, by way of ``httptools``, and strict: none of its leniencies is on. What it leaves to its
user is done here: the end of a body that only the end of the connection delimits, answers to HEAD, interim answers, and
bounds on everything that comes in.

**Source:** RFC 9112 sections 3, 4, 6 and 9; RFC 9110 sections 4.2.3, 5.5, 5.6.2, 7.2 and 15.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from types import ModuleType
from typing import Any

from tailrace.errors import UpstreamError
from tailrace.upstream.message import BodyDecoder, OutgoingRequest, UpstreamResponse, media_type, merge_headers

__all__ = [
    "DEFAULT_PORTS",
    "LARGEST_HEAD",
    "MalformedResponseError",
    "ResponseFraming",
    "ResponseReader",
    "authority",
    "encode_head",
    "encode_request",
]

DEFAULT_PORTS = {"http": 80, "https": 443}

LARGEST_HEAD = 65_536
"""Bytes of status line and headers, all interim answers included, beyond which a response is refused."""

_FRAMING = 8
"""A chunked body may come in this many times its own size before it is refused; one byte a chunk takes six."""

_TOKEN = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_TARGET = re.compile(rb"[!-~]+")
_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
Pairs = Sequence[tuple[bytes, bytes]]

_NOT_THE_CALLERS = frozenset({b"host", b"transfer-encoding"})
"""Headers that decide where a request goes or where it ends."""


class MalformedResponseError(Exception):
    """What came is no HTTP/1.1 response; says why in the parser's words, never what came."""


def authority(scheme: str, host: str, port: int) -> str:
    """Host and port as URLs and the ``Host`` field write them; the port only if it is not the scheme's own.

    >>> authority("https", "::1", 443), authority("http", "example.com", 8080)
    ('[::1]', 'example.com:8080')
    """
    shown = f"[{host}]" if ":" in host else host
    return shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"


def encode_request(request: OutgoingRequest, host: bytes) -> bytes:
    """The bytes to send.

    Args:
        host: value of the ``Host`` header.

    Raises:
        ValueError: a method, target or header that would not arrive as what it is; repeats none of it.
    """
    lengths = [value for name, value in request.headers if name == b"content-length"]
    if len(lengths) > 1 or (lengths or [b"0"])[0] != b"%d" % len(request.body):
        raise ValueError("another length than the body's")
    return encode_head(request.method, request.target, [(b"host", host)], request.headers) + request.body


def encode_head(method: str, target: bytes, own: Pairs, headers: Pairs) -> bytes:
    """The bytes of a request up to its body.

    Args:
        own: header fields that decide where the request goes or where it ends.
        headers: the caller's, which may be none of those but ``Content-Length``; names in lower case.

    Raises:
        ValueError: a method, target or header that would not arrive as what it is; repeats none of it.
    """
    if _METHOD.fullmatch(method) is None or _TARGET.fullmatch(target) is None:
        raise ValueError("a method or target that cannot be sent")
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [name + b": " + value for name, value in own]
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None or name in _NOT_THE_CALLERS:
            raise ValueError("a header that cannot be sent")
        lines.append(name + b": " + value)
    return b"\r\n".join(lines) + b"\r\n\r\n"


class ResponseFraming:
    """Where one response's head, body and end are in what arrives; a subclass says what becomes of them.

    Args:
        parsing: the module ``httptools``.
        method: of the request; an answer to HEAD has no body whatever its headers say.

    Attributes:
        began: something has come.
        whole: the response is complete.
        keep: the connection can carry another request after it.
        status: 0 until its head has come.
        pairs: its header fields as they came, interim answers' left out.
    """

    __slots__ = (
        "_error",
        "_errors",
        "_head_done",
        "_method",
        "_parser",
        "_received",
        "began",
        "keep",
        "pairs",
        "status",
        "whole",
    )

    def __init__(self, parsing: ModuleType, *, method: str) -> None:
        self._errors: tuple[type[Exception], type[Exception]] = (parsing.HttpParserError, parsing.HttpParserUpgrade)
        self._method = method
        self._head_done = False
        self._received = 0
        self._error: Exception | None = None
        self.pairs: list[tuple[bytes, bytes]] = []
        self.began = self.whole = self.keep = False
        self.status = 0
        self._parser: Any = parsing.HttpResponseParser(self)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True once the response is whole.

        Raises:
            MalformedResponseError: it is no response.
            UpstreamError: it is too large, or coded in a way that is not understood.
        """
        if self.whole:
            self.keep = False  # more than was asked for: nothing after it can be trusted to be an answer
            return True
        self.began = True
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except self._errors as error:
            if not self.whole:
                raise self._error or MalformedResponseError(type(error).__name__) from None
            self.keep = False
        if not self.whole:
            self._bound()
        return self.whole

    def end(self) -> bool:
        """The connection has ended; True if that makes the response whole.

        Raises:
            UpstreamError: its body is not what its coding promises.
        """
        if not self.whole and self._head_done and not self._delimited():
            self._complete()
        self.keep = False
        return self.whole

    # --- called by the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.whole:
            self.keep = False  # another response, which nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:
            self.pairs.append((name, value.rstrip(b" \t")))
        elif not self.whole:
            self._trailer(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        if not self.whole:
            self._attempt(self._take_head)

    def on_body(self, body: bytes) -> None:
        if not self.whole:
            self._attempt(self._take, body)

    def on_message_complete(self) -> None:
        if self._head_done and not self.whole:
            self._attempt(self._complete)

    # --- what a subclass does with it --------------------------------------------------------------------------------

    def _interim(self) -> None:
        """An interim answer has come."""

    def _begin(self) -> None:
        """The head is there."""

    def _take(self, body: bytes) -> None:
        """A piece of the body."""

    def _trailer(self, name: bytes, value: bytes) -> None:
        """A field behind the body; of no use to anybody here."""

    def _finish(self) -> None:
        """The body is there."""

    def _bound(self) -> None:
        """Refuse what is too much."""
        if not self._head_done and self._received > LARGEST_HEAD:
            raise MalformedResponseError("a head without an end")

    # --- private -----------------------------------------------------------------------------------------------------

    def _attempt(self, step: Callable[..., None], *arguments: bytes) -> None:
        """Take a step and remember why it refuses: the parser says no more than that one of its callbacks failed."""
        try:
            step(*arguments)
        except (UpstreamError, MalformedResponseError) as error:
            self._error = error
            raise

    def _take_head(self) -> None:
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            self._interim()
            self.pairs.clear()
            return
        self._head_done = True
        self._begin()
        if self._method == "HEAD":
            self._complete()

    def _delimited(self) -> bool:
        """Whether the head says where the body ends."""
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self.pairs)

    def _complete(self) -> None:
        self._finish()
        self.whole = True
        self.keep = self._parser.should_keep_alive()


class ResponseReader(ResponseFraming):
    """One response, taken in and decoded as it arrives, for those who want all of it.

    Args:
        parsing: the module ``httptools``.
        name: the dependency, for messages.
        method: of the request.
        limit: most bytes of the body, as received and as decoded.
        media_types: lower case; a 2xx answer of another, or of none, is refused by its head. Empty: any.
    """

    __slots__ = ("_body", "_decoder", "_headers", "_limit", "_media_types", "_name")

    def __init__(
        self, parsing: ModuleType, *, name: str, method: str, limit: int, media_types: Collection[str] = ()
    ) -> None:
        super().__init__(parsing, method=method)
        self._name = name
        self._limit = limit
        self._media_types = media_types
        self._headers: dict[str, str] = {}
        self._decoder: BodyDecoder | None = None
        self._body = b""

    def response(self) -> UpstreamResponse:
        """The response, once it is whole."""
        return UpstreamResponse(self.status, self._headers, self._body)

    def _begin(self) -> None:
        self._headers = headers = merge_headers(self.pairs)
        if self._method == "HEAD":
            return
        announced = headers.get("content-length", "")
        self._decoder = BodyDecoder(self._name, headers.get("content-encoding"), self._limit)
        if announced.isdecimal() and int(announced) > self._limit:
            raise UpstreamError(f"{self._name}: answered more than {self._limit} bytes")
        if self._media_types and 200 <= self.status < 300 and media_type(headers) not in self._media_types:
            raise UpstreamError(f"{self._name}: answered in a media type that was not asked for")

    def _take(self, body: bytes) -> None:
        if self._decoder is not None:
            self._decoder.feed(body)

    def _finish(self) -> None:
        if self._decoder is not None:
            self._body = self._decoder.end()

    def _bound(self) -> None:
        super()._bound()
        if self._head_done and self._received > LARGEST_HEAD + _FRAMING * self._limit:
            raise UpstreamError(f"{self._name}: answered more than {self._limit} bytes")
