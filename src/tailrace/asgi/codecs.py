"""Content codings behind one small interface. Touches: the compression libraries, imported when first needed.

=========  ==============================================================  ==================
coding     library                                                         always there
=========  ==============================================================  ==================
``zstd``   ``compression.zstd`` of Python 3.14, else ``backports.zstd``    from Python 3.14
``br``     ``brotli``                                                      no
``gzip``   ``zlib-ng`` where it is installed, else ``zlib``                yes
=========  ==============================================================  ==================

The same bytes give the same bytes again in one process: gzip's header has no time in it.

**Source:** RFC 1952 (gzip), RFC 7932 (brotli), RFC 8878 and RFC 9659 (zstd, and its window in HTTP).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from tailrace.asgi.codec_streams import (
    GZIP_FORMAT,
    BrotliDecoder,
    Decoder,
    Encoder,
    GzipDecoder,
    LibraryEncoder,
    ZstdDecoder,
)
from tailrace.errors import MissingExtraError
from tailrace.extras import require
from tailrace.settings import CompressionSettings

__all__ = ["Brotli", "Codec", "Gzip", "Zstd", "codec", "installed_codecs"]

EXTRA = "compression"

STREAM_WINDOW_LOG = 18
"""Streams look back 256 KB: a connection that stays open for hours must not keep megabytes."""

IDLE_COMPRESSORS = 8
"""Most zstd compressors of a kind that are kept; each has about 1 MB."""

TABLES = {16 * 1024: 12, 128 * 1024: 14}
"""For bodies of so many bytes at most, zstd's quick levels remember what they have seen in tables of 2**n entries. What
zstd takes by itself suits a processor whose caches hold nothing else; in a request, these take two thirds as long."""


class Codec(Protocol):
    """One content coding.

    Attributes:
        name: as in ``Content-Encoding``.
        quickness: how many times as much it encodes in the same time as the others.
    """

    name: str
    quickness: int

    def encode(self, data: bytes) -> bytes:
        """The whole of ``data``, compressed. May be called from any thread."""

    def encoder(self) -> Encoder:
        """For one stream."""

    def decoder(self) -> Decoder:
        """For one stream."""


class Gzip:
    """gzip by zlib-ng, a third quicker than zlib at the same size, or by zlib.

    Args:
        level: 1 to 9.
    """

    name = "gzip"
    quickness = 1

    def __init__(self, level: int = 5) -> None:
        self._level = level
        self._compressobj: Callable[[int, int, int], Any] = _zlib().compressobj

    def encode(self, data: bytes) -> bytes:
        """See ``Codec``."""
        stream = self._compressobj(self._level, zlib.DEFLATED, GZIP_FORMAT)
        written: bytes = stream.compress(data)
        return written + stream.flush()  # type: ignore[no-any-return]

    def encoder(self) -> Encoder:
        """See ``Codec``."""
        stream = self._compressobj(self._level, zlib.DEFLATED, GZIP_FORMAT)
        return LibraryEncoder(stream.compress, lambda: stream.flush(zlib.Z_SYNC_FLUSH), stream.flush)

    def decoder(self) -> Decoder:
        """See ``Codec``."""
        return GzipDecoder()


class Brotli:
    """Brotli by Google's own library.

    Args:
        quality: 0 to 11.

    Raises:
        MissingExtraError: the library is not installed.
    """

    name = "br"
    quickness = 1

    def __init__(self, quality: int = 4) -> None:
        self._brotli = require("brotli", EXTRA)
        self._quality = quality

    def encode(self, data: bytes) -> bytes:
        """See ``Codec``."""
        return self._brotli.compress(data, quality=self._quality, lgwin=_window_log(len(data)))  # type: ignore[no-any-return]

    def encoder(self) -> Encoder:
        """See ``Codec``."""
        stream = self._brotli.Compressor(quality=self._quality, lgwin=STREAM_WINDOW_LOG)
        return LibraryEncoder(stream.process, stream.flush, stream.finish)

    def decoder(self) -> Decoder:
        """See ``Codec``."""
        return BrotliDecoder(self._brotli)


class Zstd:
    """Zstandard by Python's own module. Compressors are kept: making one costs more than compressing 4 KB with it.

    Args:
        level: 1 to 19; the window stays within the 8 MB that RFC 9659 allows.

    Raises:
        MissingExtraError: Python is older than 3.14 and the backport is not installed.
    """

    name = "zstd"

    def __init__(self, level: int = 3) -> None:
        self.quickness = 4 if level <= 4 else 1
        self._zstd = zstd = require("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd", EXTRA)
        self._options = {zstd.CompressionParameter.compression_level: level, zstd.CompressionParameter.window_log: 23}
        if level < 17:  # no level below takes a larger window by itself, and a smaller one suits a shorter body
            del self._options[zstd.CompressionParameter.window_log]
        hashes, chains = zstd.CompressionParameter.hash_log, zstd.CompressionParameter.chain_log
        self._sized = [
            (most, _Compressors(zstd, {**self._options, hashes: entries, chains: entries - 1}))
            for most, entries in TABLES.items()
            if level <= 4
        ]
        self._large = _Compressors(zstd, self._options)
        self._stream_options = {**self._options, zstd.CompressionParameter.window_log: STREAM_WINDOW_LOG}
        self._whole = zstd.ZstdCompressor.FLUSH_FRAME
        self._block = zstd.ZstdCompressor.FLUSH_BLOCK

    def encode(self, data: bytes) -> bytes:
        """See ``Codec``."""
        for most, compressors in self._sized:
            if len(data) <= most:
                return compressors.encode(data)
        return self._large.encode(data)

    def encoder(self) -> Encoder:
        """See ``Codec``."""
        stream = self._zstd.ZstdCompressor(options=self._stream_options)
        return LibraryEncoder(stream.compress, lambda: stream.flush(self._block), lambda: stream.flush(self._whole))

    def decoder(self) -> Decoder:
        """See ``Codec``."""
        return ZstdDecoder(self._zstd)


class _Compressors:
    """Compressors of one kind, which are kept."""

    __slots__ = ("_idle", "_options", "_whole", "_zstd")

    def __init__(self, zstd: Any, options: dict[Any, int]) -> None:
        self._zstd = zstd
        self._options = options
        self._whole = zstd.ZstdCompressor.FLUSH_FRAME
        self._idle: list[Any] = []

    def encode(self, data: bytes) -> bytes:
        # One compressor works for one thread at a time; taking from a list and adding to it are each atomic.
        try:
            compressor = self._idle.pop()
        except IndexError:
            compressor = self._zstd.ZstdCompressor(options=self._options)
        written: bytes = compressor.compress(data, self._whole)
        if len(self._idle) < IDLE_COMPRESSORS:
            self._idle.append(compressor)
        return written


def codec(name: str, settings: CompressionSettings) -> Codec:
    """The codec of a content coding.

    Raises:
        MissingExtraError: its library is not installed.
    """
    if name == "zstd":
        return Zstd(settings.zstd_level)
    return Brotli(settings.brotli_quality) if name == "br" else Gzip(settings.gzip_level)


def installed_codecs(settings: CompressionSettings) -> dict[str, Codec]:
    """The codecs of ``settings.encodings`` whose libraries are installed, in that order."""
    found: dict[str, Codec] = {}
    for name in settings.encodings:
        try:
            found[name] = codec(name, settings)
        except MissingExtraError:
            continue  # the setting says what may be used, not what must be there
    return found


def _zlib() -> Any:
    try:
        return require("zlib_ng.zlib_ng", EXTRA)
    except MissingExtraError:
        return zlib


def _window_log(size: int) -> int:
    """A window that holds the whole body, within what brotli takes."""
    return min(22, max(16, size.bit_length()))
