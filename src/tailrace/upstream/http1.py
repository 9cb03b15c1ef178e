"""HTTP/1.1 as bytes: a request to send, and one response out of what comes back. Pure; ``llhttp`` does the parsing.

The parser is that of Node.js, by way of ``httptools``, and strict: none of its leniencies is on. What it leaves to its
user is done here: the end of a body that only the end of the connection delimits, answers to HEAD, interim answers, and
bounds on everything that comes in.

**Source:** RFC 9112 sections 3, 4, 6 and 9; RFC 9110 sections 5.5, 5.6.2 and 15.2.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from types import ModuleType
from typing import Any

from tailrace.errors import UpstreamError
from tailrace.upstream.message import BodyDecoder, OutgoingRequest, UpstreamResponse, media_type, merge_headers

__all__ = ["LARGEST_HEAD", "MalformedResponseError", "ResponseReader", "encode_request"]

LARGEST_HEAD = 65_536
"""Bytes of status line and headers, all interim answers included, beyond which a response is refused."""

_FRAMING = 8
"""A chunked body may come in this many times its own size before it is refused; one byte a chunk takes six."""

_TOKEN = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_TARGET = re.compile(rb"[!-~]+")
_METHOD = re.compile(r"[A-Z]+")
_NOT_THE_CALLERS = frozenset({b"host", b"transfer-encoding"})
"""Headers that decide where a request goes or where it ends."""


class MalformedResponseError(Exception):
    """What came is no HTTP/1.1 response; says why in the parser's words, never what came."""


def encode_request(request: OutgoingRequest, host: bytes) -> bytes:
    """The bytes to send.

    Args:
        host: value of the ``Host`` header.

    Raises:
        ValueError: a method, target or header that would not arrive as what it is; repeats none of it.
    """
    if _METHOD.fullmatch(request.method) is None or _TARGET.fullmatch(request.target) is None:
        raise ValueError("a method or target that cannot be sent")
    lines = [b"%b %b HTTP/1.1\r\nhost: %b" % (request.method.encode("ascii"), request.target, host)]
    length = None
    for name, value in request.headers:
        if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None or name in _NOT_THE_CALLERS:
            raise ValueError("a header that cannot be sent")
        if name == b"content-length":
            if length is not None:
                raise ValueError("two lengths")
            length = value
        lines.append(name + b": " + value)
    if (length or b"0") != b"%d" % len(request.body):
        raise ValueError("another length than the body's")
    return b"\r\n".join(lines) + b"\r\n\r\n" + request.body


class ResponseReader:
    """One response, taken in as it arrives.

    Args:
        parsing: the module ``httptools``.
        name: the dependency, for messages.
        method: of the request; an answer to HEAD has no body whatever its headers say.
        limit: most bytes of the body, as received and as decoded.
        media_types: lower case; a 2xx answer of another, or of none, is refused by its head. Empty: any.

    Attributes:
        began: something has come.
        whole: the response is complete.
        keep: the connection can carry another request after it.
    """

    __slots__ = (
        "_body",
        "_decoder",
        "_error",
        "_errors",
        "_head_done",
        "_headers",
        "_limit",
        "_media_types",
        "_method",
        "_name",
        "_pairs",
        "_parser",
        "_received",
        "began",
        "keep",
        "status",
        "whole",
    )

    def __init__(
        self, parsing: ModuleType, *, name: str, method: str, limit: int, media_types: Collection[str] = ()
    ) -> None:
        self._errors: tuple[type[Exception], type[Exception]] = (parsing.HttpParserError, parsing.HttpParserUpgrade)
        self._name = name
        self._method = method
        self._limit = limit
        self._media_types = media_types
        self._pairs: list[tuple[bytes, bytes]] = []
        self._headers: dict[str, str] = {}
        self._head_done = False
        self._decoder: BodyDecoder | None = None
        self._body = b""
        self._received = 0
        self._error: UpstreamError | None = None
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
        if not self.whole and self._head_done and not {"content-length", "transfer-encoding"} & self._headers.keys():
            self._finish()
        self.keep = False
        return self.whole

    def response(self) -> UpstreamResponse:
        """The response, once it is whole."""
        return UpstreamResponse(self.status, self._headers, self._body)

    # --- called by the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.whole:
            self.keep = False  # another response, which nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # what follows the body is of no use to anybody here
            self._pairs.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self.whole:
            return
        self.status = self._parser.get_status_code()
        if 100 <= self.status < 200:
            self._pairs.clear()
            return
        self._head_done = True
        self._headers = headers = merge_headers(self._pairs)
        if self._method == "HEAD":
            self._finish()
            return
        announced = headers.get("content-length", "")
        try:
            self._decoder = BodyDecoder(self._name, headers.get("content-encoding"), self._limit)
            if announced.isdecimal() and int(announced) > self._limit:
                raise UpstreamError(f"{self._name}: answered more than {self._limit} bytes")
            if self._media_types and 200 <= self.status < 300 and media_type(headers) not in self._media_types:
                raise UpstreamError(f"{self._name}: answered in a media type that was not asked for")
        except UpstreamError as error:
            self._error = error
            raise

    def on_body(self, body: bytes) -> None:
        if self._decoder is not None and not self.whole:
            try:
                self._decoder.feed(body)
            except UpstreamError as error:
                self._error = error
                raise

    def on_message_complete(self) -> None:
        if self._head_done and not self.whole:
            try:
                self._finish()
            except UpstreamError as error:
                self._error = error
                raise

    # --- private -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        if self._decoder is not None:
            self._body = self._decoder.end()
        self.whole = True
        self.keep = self._parser.should_keep_alive()

    def _bound(self) -> None:
        if not self._head_done:
            if self._received > LARGEST_HEAD:
                raise MalformedResponseError("a head without an end")
        elif self._received > LARGEST_HEAD + _FRAMING * self._limit:
            raise UpstreamError(f"{self._name}: answered more than {self._limit} bytes")
