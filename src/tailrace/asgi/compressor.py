"""Decides what a response is encoded with, and encodes it: one for all layers of an application.

Touches: a pool of threads for what is large. Negotiated choices and media types are remembered, since there are few of
each; both memories are bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tailrace.asgi.codec_streams import Encoder, decode_whole
from tailrace.asgi.codecs import Codec, installed_codecs
from tailrace.core.content_negotiation import IDENTITY, Choice, choose_encoding
from tailrace.settings import CompressionSettings

__all__ = ["Compressor"]

REMEMBERED = 512
"""Most values of ``Accept-Encoding``, and media types, that are remembered."""

DECODED_HERE = 512 * 1024
"""Bytes that are decompressed without a thread: each coding does as much within about a millisecond."""

EVENT_STREAM = "text/event-stream"

T = TypeVar("T")


class Compressor:
    """Encodes what its settings allow.

    Args:
        settings: types, sizes, efforts.
        codecs: by name, the favourite first; those of the settings that are installed by default.

    Attributes:
        encodings: the names of the codings at hand, the favourite first.
    """

    def __init__(
        self, settings: CompressionSettings | None = None, *, codecs: Mapping[str, Codec] | None = None
    ) -> None:
        self.settings = settings or CompressionSettings()
        self._codecs = dict(installed_codecs(self.settings) if codecs is None else codecs)
        self.encodings = tuple(self._codecs)
        self._most_here = {name: self.settings.thread_size * codec.quickness for name, codec in self._codecs.items()}
        self._types = frozenset(self.settings.types)
        self._choices: dict[bytes | None, Choice] = {}
        self._compressible: dict[bytes, bool] = {}
        self._threads: ThreadPoolExecutor | None = None

    def choose(self, accept: bytes | None) -> Choice:
        """What a request with this ``Accept-Encoding`` is to be answered with."""
        known = self._choices.get(accept)
        if known is None:
            if len(self._choices) >= REMEMBERED:
                self._choices.clear()
            known = self._choices[accept] = choose_encoding(accept, self.encodings)
        return known

    def wanted(self, accept: bytes | None, size: int) -> str:
        """The coding for a body of ``size`` bytes: ``identity`` for a small one, unless the client refused that."""
        choice = self._choices.get(accept) or self.choose(accept)
        if size < self.settings.minimum_size and choice.identity_allowed:
            return IDENTITY
        return choice.encoding

    def compressible(self, content_type: bytes | None) -> bool:
        """True if media of this type are worth compressing."""
        if content_type is None:
            return False
        known = self._compressible.get(content_type)
        if known is None:
            if len(self._compressible) >= REMEMBERED:
                self._compressible.clear()
            known = self._compressible[content_type] = self._is_listed(content_type)
        return known

    def encode_here(self, body: bytes, encoding: str) -> bytes | None:
        """The whole body, encoded; None if that takes so long that ``encode`` should be awaited."""
        return self._codecs[encoding].encode(body) if len(body) < self._most_here[encoding] else None

    async def encode(self, body: bytes, encoding: str) -> bytes:
        """The whole body, encoded; in a thread if that takes long."""
        encoded = self.encode_here(body, encoding)
        return await self._in_thread(lambda: self._codecs[encoding].encode(body)) if encoded is None else encoded

    async def decode(self, body: bytes, encoding: str, size: int) -> bytes:
        """What ``encode`` made ``body`` of.

        Args:
            size: bytes that it had.

        Raises:
            ValueError: it is not that, or the coding is not at hand.
        """
        codec = self._codecs.get(encoding)
        if codec is None:
            raise ValueError(f"{encoding} is not at hand")
        decoder = codec.decoder()
        if size < DECODED_HERE:
            return decode_whole(decoder, body, size)
        return await self._in_thread(lambda: decode_whole(decoder, body, size))

    def encoder(self, encoding: str) -> Encoder:
        """For one stream."""
        return self._codecs[encoding].encoder()

    async def write(self, step: Callable[[bytes], bytes], data: bytes, encoding: str) -> bytes:
        """One step of an encoder, in a thread if it takes long. Steps of one stream must follow one another."""
        return step(data) if len(data) < self._most_here[encoding] else await self._in_thread(lambda: step(data))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.settings.threads, thread_name_prefix="tailrace-compression")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _is_listed(self, content_type: bytes) -> bool:
        name = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        if name in self._types:
            return True
        kind, _, subtype = name.partition("/")
        if name == EVENT_STREAM:
            return False
        return f"{kind}/*" in self._types or (f"+{subtype.rpartition('+')[2]}" in self._types and "+" in subtype)
