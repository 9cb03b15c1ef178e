"""A response as bytes in a store, and back. Pure.

    magic "TR1" | flags (1) | status (2) | bytes of headers (4) | bytes of vary (2) | vary digest (16)
    headers: for each, name length (2), value length (2), name, value
    vary: names, joined with commas
    body: the rest

Everything before the body is the head; it is decoded once and kept while it stays the same.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.asgi.types import Header

__all__ = ["NOT_STORED", "StoredHead", "decode_head", "encode_response", "head_length", "make_etag"]

_HEAD = struct.Struct("!3sBHIH16s")
_FIELD = struct.Struct("!HH")
_MAGIC = b"TR1"
_NEVER_STALE = 1
_UNFINISHED = 2

NOT_STORED = frozenset(
    {
        # RFC 9111 section 3.1 and RFC 9110 section 7.6.1: they belong to one connection.
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        # They belong to one request.
        b"age",
        b"cache-status",
        b"content-length",
        b"server-timing",
        b"set-cookie",
        b"tailrace-fresh",
        b"traceparent",
        b"tracestate",
        b"x-request-id",
        b"x-response-time",
    }
)
"""Header fields that are never kept."""

_KEPT_IN_304 = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified", b"vary"}
)
"""RFC 9110 section 15.4.5; Last-Modified too, for clients that know no ETag."""


@dataclass(slots=True)
class StoredHead:
    """All of a stored response but its body.

    Attributes:
        headers: ready to be sent; with Content-Length, unless the body is unfinished.
        not_modified: those of a 304 in its place.
        never_stale: the response forbade serving it stale.
        unfinished: the body that is sent is made of the stored one each time.
        vary: names of request fields beyond those in the key, with the digest of what its request sent in them.
    """

    status: int
    headers: list[Header]
    not_modified: list[Header]
    etag: bytes
    last_modified: bytes | None
    never_stale: bool
    unfinished: bool
    vary: tuple[bytes, ...]
    vary_digest: bytes
    length: int


def make_etag(body: bytes) -> bytes:
    """A strong validator: the same bytes give the same tag in every process.

    >>> make_etag(b"")
    b'"cae66941d9efbd404e4d88758ea67670"'
    """
    return b'"' + blake2b(body, digest_size=16).hexdigest().encode("ascii") + b'"'


def encode_response(
    status: int,
    headers: Iterable[Header],
    body: bytes,
    *,
    never_stale: bool,
    unfinished: bool = False,
    vary: Sequence[bytes] = (),
    digest: bytes = b"",
) -> bytes | None:
    """The response as bytes, None if a field is too large to keep. A finished body is given an ``ETag`` if it has none.

    Args:
        never_stale, unfinished, vary, digest: as in ``StoredHead``.
    """
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in NOT_STORED]
    if not unfinished and not any(name == b"etag" for name, _ in kept):
        kept.append((b"etag", make_etag(body)))
    if any(len(name) > 0xFFFF or len(value) > 0xFFFF for name, value in kept):
        return None
    block = b"".join([_FIELD.pack(len(name), len(value)) + name + value for name, value in kept])
    names = b",".join(vary)
    if len(names) > 0xFFFF:
        return None
    flags = (_NEVER_STALE if never_stale else 0) | (_UNFINISHED if unfinished else 0)
    head = _HEAD.pack(_MAGIC, flags, status, len(block), len(names), digest)
    return b"".join([head, block, names, body])


def head_length(value: bytes) -> int | None:
    """Bytes before the body; None if ``value`` is no stored response."""
    if len(value) < _HEAD.size:
        return None
    magic, _, _, headers, vary, _ = _HEAD.unpack_from(value)
    length: int = _HEAD.size + headers + vary
    return length if magic == _MAGIC and length <= len(value) else None


def decode_head(head: bytes, body_length: int) -> StoredHead | None:
    """What ``encode_response`` put before the body; None for anything else."""
    if head_length(head) != len(head):
        return None
    _, flags, status, size, _, digest = _HEAD.unpack_from(head)
    headers = _decode_fields(head, _HEAD.size, _HEAD.size + size)
    if headers is None:
        return None
    known = dict(headers)
    names = head[_HEAD.size + size :]
    if status not in (204, 304) and not flags & _UNFINISHED:
        headers.append((b"content-length", b"%d" % body_length))
    return StoredHead(
        status=status,
        headers=headers,
        not_modified=[header for header in headers if header[0] in _KEPT_IN_304],
        etag=known.get(b"etag", b""),
        last_modified=known.get(b"last-modified"),
        never_stale=bool(flags & _NEVER_STALE),
        unfinished=bool(flags & _UNFINISHED),
        vary=tuple(names.split(b",")) if names else (),
        vary_digest=digest,
        length=body_length,
    )


def _decode_fields(data: bytes, position: int, end: int) -> list[Header] | None:
    fields = []
    while position < end:
        if position + _FIELD.size > end:
            return None
        name, value = _FIELD.unpack_from(data, position)
        position += _FIELD.size
        if position + name + value > end:
            return None
        fields.append((data[position : position + name], data[position + name : position + name + value]))
        position += name + value
    return fields
