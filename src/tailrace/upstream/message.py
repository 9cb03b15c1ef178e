"""Requests and responses as the upstream room passes them around, and the bounded decoding of a body. Pure.

A compressed body is expanded piece by piece and never beyond the limit, so that a few kilobytes that expand to
gigabytes cost no more memory than the limit. **Source:** RFC 9110 section 8.4 (content codings), RFC 1950, RFC 1952.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tailrace.errors import UpstreamError, UpstreamUnavailableError

__all__ = ["BodyDecoder", "OutgoingRequest", "UpstreamResponse", "media_type", "merge_headers"]

MOST_MEMBERS = 1_024
"""Gzip members of one body; each costs a decoder, however little is in it."""

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """One request. ``target`` is path and query as sent; header names are lower case."""

    method: str
    target: bytes
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class UpstreamResponse:
    """One answer, whole and decoded. Header names are lower case; repeated ones are joined with commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            UpstreamUnavailableError: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise UpstreamUnavailableError("an answer that should be JSON is not") from error


def merge_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Header pairs as a mapping.

    >>> merge_headers([(b"A", b"1"), (b"a", b"2")])
    {'a': '1, 2'}
    """
    merged: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return merged


def media_type(headers: Mapping[str, str]) -> str:
    """The ``Content-Type`` without its parameters, in lower case; "" if there is none.

    >>> media_type({"content-type": "Text/HTML; charset=utf-8"})
    'text/html'
    """
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class BodyDecoder:
    """Takes a body's pieces as they arrive; gives the decoded whole.

    Args:
        name: the dependency, for messages.
        coding: the ``Content-Encoding``: none, identity, gzip or deflate.
        limit: most bytes, as received and as decoded.

    Raises:
        UpstreamError: from the constructor for another coding, from ``feed`` beyond the limit.
        UpstreamUnavailableError: from ``feed`` and ``end`` for a body that is broken or breaks off.
    """

    def __init__(self, name: str, coding: str | None, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._received = 0
        self._size = 0
        self._pieces: list[bytes] = []
        self._first = True
        self._members = 1
        coding = (coding or "identity").strip().lower()
        if coding not in ("identity", "gzip", "x-gzip", "deflate"):
            raise UpstreamError(f"{name}: answered in a content coding that was not asked for")
        self._wbits = 0 if coding == "identity" else 15 if coding == "deflate" else 31
        self._inflate = zlib.decompressobj(self._wbits) if self._wbits else None

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        self._received += len(data)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflate is None:
            self._keep(data)
            return
        try:
            self._expand(data)
        except zlib.error as error:
            raise UpstreamUnavailableError(f"{self._name}: an answer's compressed body is broken") from error

    def end(self) -> bytes:
        """The whole body."""
        if self._inflate is not None and self._received and not self._inflate.eof:
            raise UpstreamUnavailableError(f"{self._name}: an answer's compressed body breaks off")
        return b"".join(self._pieces) if len(self._pieces) != 1 else self._pieces[0]

    def _expand(self, data: bytes) -> None:
        while data:
            assert self._inflate is not None
            if self._inflate.eof:  # gzip members may follow one another
                self._inflate = zlib.decompressobj(self._wbits)
                self._members += 1
                if self._members > MOST_MEMBERS:
                    raise UpstreamError(f"{self._name}: answered in more than {MOST_MEMBERS} gzip members")
            if self._first and self._wbits == 15 and not _has_zlib_header(data):
                self._inflate = zlib.decompressobj(-15)  # "deflate" without its wrapper, as some servers send it
            self._first = False
            self._keep(self._inflate.decompress(data, self._limit - self._size + 1))
            data = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise self._too_large()
        if piece:
            self._pieces.append(piece)

    def _too_large(self) -> UpstreamError:
        return UpstreamError(f"{self._name}: answered more than {self._limit} bytes")


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] << 8 | data[1]) % 31 == 0)
