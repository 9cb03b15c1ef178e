"""A response as the shared cache keeps it, and its bytes. Pure.

magic "HC2" | CRC-32 of all that follows (4)
status (2) | received (8) | age on arrival (8) | lifetime (8) | bytes of tags (4) | of headers (4)
tags: names of what may invalidate it, joined with newlines
headers: for each, name length (4), value length (4), name, value
body: the rest
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple
from zlib import crc32

from tailrace.asgi.headers import answer_lines, read_headers
from tailrace.asgi.http_cache.reuse import Held
from tailrace.asgi.http_cache.storing import directives_of
from tailrace.asgi.types import Header
from tailrace.core.cache_control import CacheControl
from tailrace.core.conditions import Validators, validators_of

__all__ = ["StoredResponse"]

_MARK = struct.Struct("!3sI")
_HEAD = struct.Struct("!HdddII")
_FIELD = struct.Struct("!II")
_MAGIC = b"HC2"

IN_304 = frozenset({b"cache-control", b"cdn-cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"})
"""RFC 9110 section 15.4.5."""

WITHOUT_CONTENT = frozenset({204, 304})


class Served(NamedTuple):
    """Header fields of a stored response, ready to be sent, but for those that are made anew each time.

    Attributes:
        whole, not_modified: without the fields that need a validation, for a response that had none.
        whole_validated, not_modified_validated: all of them.
    """

    whole: list[Header]
    whole_validated: list[Header]
    not_modified: list[Header]
    not_modified_validated: list[Header]


@dataclass(frozen=True)
class StoredResponse:
    """All that is kept of a response.

    Attributes:
        headers: as they were received, without what belongs to a connection or one request.
        received: wall time at which its fields came, or at which it was validated last.
        initial_age: seconds that it was old then.
        lifetime: seconds of freshness from when it was made.
        tags: what may invalidate it.
    """

    status: int
    headers: list[Header]
    body: bytes
    received: float
    initial_age: float
    lifetime: float
    tags: tuple[str, ...]

    @cached_property
    def fields(self) -> dict[bytes, bytes]:
        """The headers by name."""
        return read_headers(self.headers)

    def age(self, now: float) -> float:
        """Seconds since it was made, or validated, at its origin (RFC 9111 section 4.2.3)."""
        return self.initial_age + max(0.0, now - self.received)

    @cached_property
    def control(self) -> CacheControl:
        """Its directives for this cache."""
        return directives_of(self.fields).control

    @cached_property
    def served(self) -> Served:
        """Its header fields as they are sent."""
        named = self.control.no_cache_fields
        bare = [header for header in self.headers if header[0].decode("latin-1") not in named]
        sized = [] if self.status in WITHOUT_CONTENT else [(b"content-length", b"%d" % len(self.body))]
        return Served(
            [*bare, *sized],
            [*self.headers, *sized],
            [header for header in bare if header[0] in IN_304],
            [header for header in self.headers if header[0] in IN_304],
        )

    @cached_property
    def lines(self) -> bytes:
        """``served.whole`` as HTTP/1.1 sends them; b"" where only a server's own code may."""
        if self.status in WITHOUT_CONTENT:
            return b"" if self.body else answer_lines(self.served.whole, None)
        return answer_lines(self.served.whole, len(self.body))

    def held(self, now: float) -> Held:
        """What decides on its use."""
        return Held(self.age(now), self.lifetime, self.control)

    def validators(self, now: float) -> Validators:
        """What tells it from other versions."""
        return validators_of(self.fields, now)

    def stale(self) -> StoredResponse:
        """The same, to be validated before it is used again."""
        return replace(self, lifetime=0.0)

    def to_bytes(self) -> bytes:
        """For a store."""
        tags = "\n".join(self.tags).encode("utf-8", "surrogatepass")
        block = b"".join([_FIELD.pack(len(name), len(value)) + name + value for name, value in self.headers])
        times = (self.received, self.initial_age, self.lifetime)
        data = _HEAD.pack(self.status, *times, len(tags), len(block)) + tags + block + self.body
        return _MARK.pack(_MAGIC, crc32(data)) + data

    @staticmethod
    def from_bytes(data: bytes) -> StoredResponse | None:
        """What ``to_bytes`` made; None for anything else, and for what was damaged."""
        if len(data) < _MARK.size + _HEAD.size:
            return None
        magic, check = _MARK.unpack_from(data)
        if magic != _MAGIC or crc32(memoryview(data)[_MARK.size :]) != check:
            return None
        status, received, initial_age, lifetime, tags, block = _HEAD.unpack_from(data, _MARK.size)
        first = _MARK.size + _HEAD.size
        start = first + tags
        headers, at = [], start
        while at < start + block:
            name, value = _FIELD.unpack_from(data, at)
            at += _FIELD.size
            headers.append((data[at : at + name], data[at + name : at + name + value]))
            at += name + value
        names = data[first:start].decode("utf-8", "surrogatepass")
        body = data[start + block :]
        return StoredResponse(
            status, headers, body, received, initial_age, lifetime, tuple(names.split("\n")) if names else ()
        )
