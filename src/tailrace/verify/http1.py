"""HTTP/1.1 responses out of bytes, one at a time. Pure: bytes in, values out.

Written for a load driver that shares its cores with the server: the common case, a response with ``Content-Length``
that arrives whole, costs a few searches in bytes and no object but the response itself. Headers are looked up when
somebody asks for one.

**Source:** RFC 9112 sections 2.2, 6 and 7; RFC 9110 section 6.4.1 (responses without content).
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MAX_HEAD_BYTES", "MalformedResponseError", "Response", "ResponseParser"]

MAX_HEAD_BYTES = 64 * 1024
"""A status line and headers longer than this are refused."""

_WITHOUT_CONTENT = frozenset((204, 304))


class MalformedResponseError(ValueError):
    """The bytes are no HTTP/1.1 response."""


class Response:
    """One whole response. ``head`` holds the status line and headers as received, without the empty line."""

    __slots__ = ("_names", "body", "head", "status")

    def __init__(self, status: int, head: bytes, body: bytes) -> None:
        self.status = status
        self.head = head
        self.body = body
        self._names: bytes | None = None

    def header(self, name: str) -> str | None:
        """The first value of a header, None when it is absent. Names are matched without regard to case."""
        values = self.headers(name)
        return values[0] if values else None

    def headers(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        if self._names is None:
            self._names = self.head.lower()
        needle = b"\r\n" + name.lower().encode("ascii") + b":"
        values, position = [], self._names.find(needle)
        while position >= 0:
            start = position + len(needle)
            end = self._names.find(b"\r\n", start)
            values.append(self.head[start : end if end >= 0 else None].strip().decode("latin-1"))
            position = self._names.find(needle, start)
        return values

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        """True when the server will close the connection behind this response."""
        return (self.header("connection") or "").lower() == "close" or self.head.startswith(b"HTTP/1.0")

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class ResponseParser:
    """Turns the bytes of one connection into responses; one request under way at a time.

    Call ``expect`` before each request is sent, then ``feed`` until it returns a response; at the end of the stream,
    ``finish``.
    """

    __slots__ = ("_buffer", "_chunked", "_head", "_length", "_status", "_without_content")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._without_content = False
        self._head: bytes | None = None
        self._status = 0
        self._length: int | None = None
        self._chunked = False

    def expect(self, method: str) -> None:
        """The next response answers ``method``; one to HEAD has no content whatever its headers say."""
        self._without_content = method == "HEAD"

    def feed(self, data: bytes) -> Response | None:
        """Take bytes; the response if they completed it.

        Raises:
            MalformedResponseError: they cannot be one.
        """
        self._buffer += data
        while self._head is None:
            if not self._take_head():
                return None
            if 100 <= self._status < 200:  # interim responses precede the real one
                self._reset()
        if self._chunked:
            return self._take_chunks()
        if self._length is None:
            return None
        if len(self._buffer) < self._length:
            return None
        body = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        return self._done(body)

    def finish(self) -> Response | None:
        """The stream ended; the response that was delimited by that, if there is one."""
        if self._head is None or self._chunked or self._length is not None:
            return None
        body = bytes(self._buffer)
        self._buffer.clear()
        return self._done(body)

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedResponseError("the head of the response does not end")
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise MalformedResponseError(f"not a status line: {head[:40]!r}")
        self._status, self._head = int(head[9:12]), head
        names = head.lower()
        if self._without_content or self._status in _WITHOUT_CONTENT or self._status < 200:
            self._length = 0
        elif b"\r\ntransfer-encoding:" in names:
            self._chunked = True
        else:
            self._length = _content_length(names)
        return True

    def _take_chunks(self) -> Response | None:
        """Read the whole chunked body once it is there; a partial one is looked at again when more has come."""
        buffer, position = self._buffer, 0
        parts: list[bytes] = []
        while True:
            line = buffer.find(b"\r\n", position)
            if line < 0:
                return None
            size_text = bytes(buffer[position:line]).split(b";", 1)[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise MalformedResponseError(f"not a chunk size: {size_text[:20]!r}") from None
            if size == 0:
                end = buffer.find(b"\r\n\r\n", line)  # trailers, if any, end like a head does
                if end < 0:
                    return None
                del buffer[: end + 4]
                return self._done(b"".join(parts))
            start = line + 2
            if len(buffer) < start + size + 2:
                return None
            parts.append(bytes(buffer[start : start + size]))
            position = start + size + 2

    def _done(self, body: bytes) -> Response:
        assert self._head is not None
        response = Response(self._status, self._head, body)
        self._reset()
        return response

    def _reset(self) -> None:
        self._head, self._status, self._length, self._chunked = None, 0, None, False


def _content_length(names: bytes) -> int | None:
    start = names.find(b"\r\ncontent-length:")
    if start < 0:
        return None  # delimited by the end of the connection
    start += 17
    end = names.find(b"\r\n", start)
    text = names[start : end if end >= 0 else None].strip()
    if not text.isdigit():
        raise MalformedResponseError(f"not a Content-Length: {text[:20]!r}")
    return int(text)
