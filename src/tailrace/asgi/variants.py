"""Stored responses in other codings than they are stored in. Touches: the store, the compressor's threads.

A response is stored as the request that it was computed for wanted it. Who wants it otherwise gets it made from that,
once: the other body is kept under the digest of the application's, so that it can never be another response's, needs no
freshness of its own, and is found again when the same content is computed anew. Whether a response may be served is
decided by its entry alone, whatever coding it is served in.

**Source:** RFC 9110 section 8.4 (a coding changes bytes, not meaning); RFC 9111 section 4.1 (Vary).
"""

from __future__ import annotations

from contextlib import suppress

from tailrace.asgi.compression import Encodes
from tailrace.asgi.stored_response import Coded, StoredHead
from tailrace.cache import Cache
from tailrace.cache.singleflight import SingleFlight
from tailrace.core.content_negotiation import IDENTITY
from tailrace.errors import StoreUnavailableError

__all__ = ["Variants"]

WOULD_NOT_SHRINK = b""
"""Kept in place of a body that a coding does not make smaller."""


class Variants:
    """Gives stored responses in the coding that a request wants.

    Args:
        encodes: what with.
        cache: in whose store they are kept.

    A response is given and taken as its head and bytes that end with its body.
    """

    def __init__(self, encodes: Encodes, cache: Cache) -> None:
        self._encodes = encodes
        self._compressor = encodes.compressor
        self._making: SingleFlight[bytes] = SingleFlight()
        self.use(cache)

    def use(self, cache: Cache) -> None:
        """Keep them with another cache from now on."""
        self._store = cache.store
        self._read_one = cache.store.reader(cache.monotonic)
        self._worth = cache.worth
        self._root = cache.keyspace.root
        self._max_bytes = cache.settings.max_value_bytes

    def peek(
        self, head: StoredHead, data: bytes, accept: bytes | None, now: float | None = None
    ) -> tuple[StoredHead, bytes] | None:
        """The response as a request with this ``Accept-Encoding`` wants it, None if this process does not hold it.

        Cost: 0.2 microseconds if it is stored so, about 1 if not.

        Args:
            head, data, accept: the response, and what is wanted.
            now: as for ``Lookup.peek``.
        """
        coded = head.coded
        if coded is None:
            return head, data
        encoding = self._compressor.wanted(accept, coded.original_length)
        if encoding == coded.encoding:
            return head, data
        found = self._read_one(self._name(head, coded, encoding), now)
        if found is None:
            return None
        if found == WOULD_NOT_SHRINK and encoding != IDENTITY:
            if not self._compressor.choose(accept).identity_allowed:
                return None
            return (head, data) if coded.encoding == IDENTITY else self.peek(head, data, None, now)
        return self._as(head, coded, encoding, found), found

    async def of(
        self, head: StoredHead, data: bytes, accept: bytes | None, ttl: float
    ) -> tuple[StoredHead, bytes] | None:
        """The same, made if need be and kept for ``ttl`` seconds; None if the stored body is damaged, or in a coding
        that this process does not know."""
        held = self.peek(head, data, accept)
        if held is not None or head.coded is None:
            return held
        coded = head.coded
        encoding = self._compressor.wanted(accept, coded.original_length)
        name = self._name(head, coded, encoding)
        try:
            body, _ = await self._making.join(name, lambda: self._make(coded, head.length, data, encoding, name, ttl))
            if body == WOULD_NOT_SHRINK and encoding != IDENTITY:
                if self._compressor.choose(accept).identity_allowed:
                    return (head, data) if coded.encoding == IDENTITY else await self.of(head, data, None, ttl)
                body = await self._compressor.encode(await self._original(coded, head.length, data), encoding)
        except ValueError:
            return None
        return self._as(head, coded, encoding, body), body

    def leaves(self, head: StoredHead, body: bytes, accept: bytes | None) -> bool:
        """True if a body that was finished just now is to be sent as it is."""
        return head.coded is None or self._compressor.wanted(accept, len(body)) == IDENTITY

    async def finished(self, head: StoredHead, body: bytes, accept: bytes | None) -> tuple[StoredHead, bytes]:
        """A body that was finished just now, and is like no other, as the request wants it. Compressed each time."""
        if head.coded is None:
            return head, body
        encoding, body = await self._encodes.shrink(body, accept)
        if encoding == IDENTITY:
            return head, body
        known = head.variants.get(encoding)
        if known is None or known[1] is None:
            known = head.variants[encoding] = ("", head.in_encoding(encoding, 0))
        return known[1] or head, body

    async def _make(self, coded: Coded, length: int, data: bytes, encoding: str, name: str, ttl: float) -> bytes:
        if self._worth.asking():
            with suppress(StoreUnavailableError):  # then it is made here
                held = (await self._store.get([name]))[0]
                if held is not None:
                    return held
        original = await self._original(coded, length, data)
        made = original
        if encoding != IDENTITY:
            made = await self._compressor.encode(original, encoding)
            self._encodes.report(encoding, len(original), len(made))
            if len(made) >= len(original):
                made = WOULD_NOT_SHRINK
        if len(made) <= self._max_bytes and self._worth.asking():
            with suppress(StoreUnavailableError):  # then it is made again for the next
                await self._store.set({name: made}, ttl)
        return made

    async def _original(self, coded: Coded, length: int, data: bytes) -> bytes:
        """The body as the application sent it."""
        body = data[len(data) - length :]
        if coded.encoding == IDENTITY:
            return body
        return await self._compressor.decode(body, coded.encoding, coded.original_length)

    def _name(self, head: StoredHead, coded: Coded, encoding: str) -> str:
        known = head.variants.get(encoding)
        if known is None:
            name = f"{self._root}v:{encoding}:{coded.original_length}:{coded.digest.hex()}"
            known = head.variants[encoding] = (name, None)
        return known[0]

    def _as(self, head: StoredHead, coded: Coded, encoding: str, body: bytes) -> StoredHead:
        name, known = head.variants[encoding]
        if known is None or known.length != len(body):
            known = head.in_encoding(encoding, len(body))
            head.variants[encoding] = (name, known)
        return known
