"""Streams of content codings, whatever library makes them. Touches: zlib; the other libraries are handed in.

A stream is compressed so that what has been written can be read at once, and decompressed a bounded piece at a time.

**Source:** RFC 1952 (gzip), RFC 7932 (brotli), RFC 8878 and RFC 9659 (zstd, and its window in HTTP).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

__all__ = [
    "GZIP_FORMAT",
    "BrotliDecoder",
    "Decoder",
    "Encoder",
    "GzipDecoder",
    "LibraryEncoder",
    "ZstdDecoder",
    "decode_whole",
]

GZIP_FORMAT = 31
"""zlib's window of 32 KB, in gzip's frame."""


class Encoder(Protocol):
    """Compresses one stream."""

    def write(self, data: bytes) -> bytes:
        """Everything so far, such that the receiver can decompress all of ``data``."""

    def finish(self, data: bytes) -> bytes:
        """The end of the stream, ``data`` before it."""


class Decoder(Protocol):
    """Decompresses one stream, a bounded piece at a time.

    Attributes:
        finished: the stream has ended as it should.
        hungry: there is nothing more to be had without more input.
    """

    finished: bool
    hungry: bool

    def read(self, data: bytes, limit: int) -> bytes:
        """About ``limit`` bytes at most; call again with ``b""`` while it is not ``hungry``.

        Raises:
            ValueError: this is no such stream, or something follows its end.
        """


class LibraryEncoder:
    """A stream of any library, by its functions that write, flush and end."""

    __slots__ = ("_end", "_flush", "_write")

    def __init__(self, write: Callable[[bytes], bytes], flush: Callable[[], bytes], end: Callable[[], bytes]) -> None:
        self._write = write
        self._flush = flush
        self._end = end

    def write(self, data: bytes) -> bytes:
        return self._write(data) + self._flush()

    def finish(self, data: bytes) -> bytes:
        return self._write(data) + self._end()


class GzipDecoder:
    """RFC 1952 section 2.2: several members may follow one another."""

    __slots__ = ("_rest", "_stream", "finished", "hungry")

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(GZIP_FORMAT)
        self._rest = b""
        self.finished = False
        self.hungry = True

    def read(self, data: bytes, limit: int) -> bytes:
        data = self._rest + data
        if self._stream.eof and data:
            self._stream = zlib.decompressobj(GZIP_FORMAT)
        try:
            written = self._stream.decompress(data, limit)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        self.finished = self._stream.eof
        self._rest = self._stream.unused_data if self.finished else self._stream.unconsumed_tail
        # A full piece may have more behind it that zlib holds itself.
        self.hungry = not self._rest and len(written) < limit
        return written


class BrotliDecoder:
    """RFC 7932: one stream and nothing behind it."""

    __slots__ = ("_error", "_stream", "finished", "hungry")

    def __init__(self, brotli: Any) -> None:
        self._stream = brotli.Decompressor()
        self._error: type[Exception] = brotli.error
        self.finished = False
        self.hungry = True

    def read(self, data: bytes, limit: int) -> bytes:
        try:
            written: bytes = self._stream.process(data, output_buffer_limit=limit)
        except self._error as error:
            raise ValueError(str(error)) from error
        self.finished = self._stream.is_finished()
        # Input that was taken up may stand for more output than there was room for.
        self.hungry = self.finished or (self._stream.can_accept_more_data() and len(written) < limit)
        return written


class ZstdDecoder:
    """RFC 8878 section 3: several frames may follow one another."""

    __slots__ = ("_error", "_make", "_rest", "_stream", "finished", "hungry")

    def __init__(self, zstd: Any) -> None:
        # RFC 9659 section 3: no more than 8 MB has to be looked back.
        options = {zstd.DecompressionParameter.window_log_max: 23}
        self._make: Callable[[], Any] = lambda: zstd.ZstdDecompressor(options=options)
        self._error: type[Exception] = zstd.ZstdError
        self._stream = self._make()
        self._rest = b""
        self.finished = False
        self.hungry = True

    def read(self, data: bytes, limit: int) -> bytes:
        data = self._rest + data
        self._rest = b""
        if self._stream.eof:
            if not data:
                return b""
            self._stream = self._make()
        try:
            written: bytes = self._stream.decompress(data, limit)
        except self._error as error:
            raise ValueError(str(error)) from error
        self.finished = self._stream.eof
        self._rest = self._stream.unused_data if self.finished else b""
        self.hungry = not self._rest and (self.finished or self._stream.needs_input)
        return written


def decode_whole(decoder: Decoder, data: bytes, limit: int) -> bytes:
    """All of a stream that is here in full.

    Raises:
        ValueError: it is damaged, not complete, or longer than ``limit`` bytes.
    """
    pieces = list(_pieces(decoder, data, limit))
    if not decoder.finished:
        raise ValueError("the stream is not complete")
    return b"".join(pieces)


def _pieces(decoder: Decoder, data: bytes, limit: int) -> Iterable[bytes]:
    size = 0
    while True:
        piece = decoder.read(data, limit + 1)
        data = b""
        size += len(piece)
        if size > limit:
            raise ValueError("the stream is longer than it may be")
        yield piece
        if decoder.hungry:
            return
