"""Parts of a stored response: 206 and 416 in place of the whole. Pure.

Ranges are of the bytes that the client would be sent, so of the body in its content coding, whose own ``ETag`` tells it
from others.

**Source:** RFC 9110 sections 14 (ranges), 15.3.7 (206) and 15.5.17 (416); RFC 9111 section 3.3 (parts from a store).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Protocol

from tailrace.asgi.types import Header
from tailrace.core.byte_ranges import content_range, multipart, parse_range
from tailrace.core.conditions import holds_range, validators_of

__all__ = ["Whole", "part_of"]

_OF_THE_WHOLE = frozenset({b"content-length", b"x-compression-ratio", b"x-original-size"})


class Whole(Protocol):
    """A stored response: what it is sent with, what a 304 in its place has, and its fields by name."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> list[Header]:
        """In order, with Content-Length."""
        ...

    @property
    def not_modified(self) -> list[Header]:
        """Those of a 304."""
        ...

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The headers by name."""
        ...


def part_of(head: Whole, body: bytes, request: Mapping[bytes, bytes], now: float) -> tuple[int, list[Header], bytes]:
    """Status, fields and body of the answer to a GET with ``Range``, the whole being ``head`` with ``body``."""
    spans = None
    if holds_range(request, validators_of(head.fields, now), now):
        spans = parse_range(request[b"range"], len(body))
    if spans is None:
        return head.status, head.headers, body
    if not spans:
        return 416, [*head.not_modified, *_sized(content_range(None, len(body)), b"")], b""
    fields = [header for header in head.headers if header[0] not in _OF_THE_WHOLE]
    if len(spans) == 1:
        part = body[spans[0][0] : spans[0][1] + 1]
        return 206, [*fields, *_sized(content_range(spans[0], len(body)), part)], part
    boundary = (
        blake2b(body, digest_size=16).hexdigest().encode("ascii")
    )  # that a body holds its own is not to be feared
    part = multipart(spans, body, head.fields.get(b"content-type"), boundary)
    fields = [header for header in fields if header[0] != b"content-type"]
    kind = (b"content-type", b"multipart/byteranges; boundary=" + boundary)
    return 206, [*fields, kind, (b"content-length", b"%d" % len(part))], part


def _sized(where: bytes, part: bytes) -> list[Header]:
    return [(b"content-range", where), (b"content-length", b"%d" % len(part))]
