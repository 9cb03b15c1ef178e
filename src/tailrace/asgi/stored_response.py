"""A response as bytes in a store, and back. Pure.

    magic "TR2" | flags (1) | status (2) | bytes of headers (4) | bytes of vary (2) | vary digest (16)
    | coding of the body (1) | bytes of the body without it (4) | digest of the body without it (16)
    headers: for each, name length (2), value length (2), name, value
    vary: names, joined with commas
    body: the rest

Everything before the body is the head; it is decoded once and kept while it stays the same. The headers are those of
the body without a coding, so that the same response in another coding needs another body only.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from tailrace.asgi.content_encoding import encoded_fields, size_fields
from tailrace.asgi.headers import OF_A_CONNECTION, answer_lines, read_headers
from tailrace.asgi.types import Header
from tailrace.core.content_negotiation import IDENTITY

__all__ = [
    "NOT_STORED",
    "Coded",
    "StoredHead",
    "content_digest",
    "decode_head",
    "encode_response",
    "head_length",
    "make_etag",
]

_HEAD = struct.Struct("!3sBHIH16sBI16s")
_FIELD = struct.Struct("!HH")
_MAGIC = b"TR2"
_NEVER_STALE, _UNFINISHED, _NEGOTIATED, _SIZES_TOLD = 1, 2, 4, 8
_KINDS = _NEVER_STALE | _UNFINISHED
_CODINGS = (IDENTITY, "gzip", "br", "zstd")

NOT_STORED = OF_A_CONNECTION | {
    # Sent behind the body, which is kept without it.
    b"trailer",
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
"""Header fields that are never kept."""

_KEPT_IN_304 = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"last-modified", b"vary"}
)
"""RFC 9110 section 15.4.5; Last-Modified too, for clients that know no ETag."""


@dataclass(frozen=True, slots=True)
class Coded:
    """How a stored body stands for the one that the application sent.

    Attributes:
        encoding: of the stored body.
        original_length: bytes of the application's.
        digest: of the application's, as ``content_digest`` gives it.
        sizes_told: whether clients are told how much it shrank.
    """

    encoding: str
    original_length: int
    digest: bytes
    sizes_told: bool = False


@dataclass(slots=True)
class StoredHead:
    """All of a stored response but its body.

    Attributes:
        headers: ready to be sent; with Content-Length, unless the body is unfinished.
        not_modified: those of a 304 in its place.
        fields: the headers by name.
        never_stale: the response forbade serving it stale.
        unfinished: the body that is sent is made of the stored one each time.
        vary: names of request fields beyond those in the key, with the digest of what its request sent in them.
        coded: how the body may be had in other codings; None where the coding is not negotiated.
        variants: what is remembered of the response in other codings, by coding.
        ready, ready_304: ``headers`` and ``not_modified`` as ``lines`` made them; None before.
    """

    status: int
    headers: list[Header]
    not_modified: list[Header]
    fields: dict[bytes, bytes]
    never_stale: bool
    unfinished: bool
    vary: tuple[bytes, ...]
    vary_digest: bytes
    length: int
    coded: Coded | None
    plain: list[Header]
    variants: dict[str, tuple[str, StoredHead | None]] = field(default_factory=dict)
    ready: bytes | None = None
    ready_304: bytes | None = None

    def lines(self, status: int) -> bytes:
        """The fields as HTTP/1.1 sends them, made once; b"" where only a server's own code may send them.

        That is where something in them could end a line, or where they say more of the connection or of the length of
        the body than is so: a shared store may hold what others have written.

        Args:
            status: the response's own, or 304 for that in its place.
        """
        if status != self.status:
            if self.ready_304 is None:
                self.ready_304 = answer_lines(self.not_modified, None)
            return self.ready_304
        if self.ready is None:
            bodiless = status in (204, 304)
            length = None if bodiless or self.unfinished else self.length
            self.ready = b"" if bodiless and self.length else answer_lines(self.headers, length)
        return self.ready

    def in_encoding(self, encoding: str, length: int) -> StoredHead:
        """The head of the same response with a body of ``length`` bytes in another coding."""
        assert self.coded is not None
        coded = Coded(encoding, self.coded.original_length, self.coded.digest, self.coded.sizes_told)
        kind = (_NEVER_STALE if self.never_stale else 0) | (_UNFINISHED if self.unfinished else 0)
        return _head(self.status, self.plain, length, kind, self.vary, self.vary_digest, coded)


def content_digest(body: bytes) -> bytes:
    """What names a body: nobody will find two with the same."""
    return blake2b(body, digest_size=16).digest()


def make_etag(body: bytes) -> bytes:
    """A strong validator: the same bytes give the same tag in every process.

    >>> make_etag(b"")
    b'"cae66941d9efbd404e4d88758ea67670"'
    """
    return _etag_of(content_digest(body))


def _etag_of(digest: bytes) -> bytes:
    return b'"' + digest.hex().encode("ascii") + b'"'


def encode_response(
    status: int,
    headers: Iterable[Header],
    body: bytes,
    *,
    never_stale: bool,
    unfinished: bool = False,
    vary: Sequence[bytes] = (),
    digest: bytes = b"",
    coded: Coded | None = None,
) -> bytes | None:
    """The response as bytes, None if a field is too large to keep. A finished body is given an ``ETag`` if it has none.

    Args:
        headers: those of the application, whatever coding the body has since been given.
        never_stale, unfinished, vary, digest, coded: as in ``StoredHead``.
    """
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in NOT_STORED]
    if not unfinished and not any(name == b"etag" for name, _ in kept):
        kept.append((b"etag", make_etag(body) if coded is None else _etag_of(coded.digest)))
    if any(len(name) > 0xFFFF or len(value) > 0xFFFF for name, value in kept):
        return None
    block = b"".join([_FIELD.pack(len(name), len(value)) + name + value for name, value in kept])
    names = b",".join(vary)
    if len(names) > 0xFFFF:
        return None
    flags = (_NEVER_STALE if never_stale else 0) | (_UNFINISHED if unfinished else 0)
    how = (0, 0, b"")
    if coded is not None:
        flags |= _NEGOTIATED | (_SIZES_TOLD if coded.sizes_told else 0)
        how = (_CODINGS.index(coded.encoding), coded.original_length, coded.digest)
    head = _HEAD.pack(_MAGIC, flags, status, len(block), len(names), digest, *how)
    return b"".join([head, block, names, body])


def head_length(value: bytes) -> int | None:
    """Bytes before the body; None if ``value`` is no stored response."""
    if len(value) < _HEAD.size:
        return None
    magic, _, _, headers, vary, *_ = _HEAD.unpack_from(value)
    length: int = _HEAD.size + headers + vary
    return length if magic == _MAGIC and length <= len(value) else None


def decode_head(head: bytes, body_length: int) -> StoredHead | None:
    """What ``encode_response`` put before the body; None for anything else."""
    if head_length(head) != len(head):
        return None
    _, flags, status, size, _, digest, coding, original, original_digest = _HEAD.unpack_from(head)
    headers = _decode_fields(head, _HEAD.size, _HEAD.size + size)
    if headers is None or coding >= len(_CODINGS):
        return None
    names = head[_HEAD.size + size :]
    coded = None
    if flags & _NEGOTIATED:
        coded = Coded(_CODINGS[coding], original, original_digest, bool(flags & _SIZES_TOLD))
    vary = tuple(names.split(b",")) if names else ()
    return _head(status, headers, body_length, flags & _KINDS, vary, digest, coded)


def _head(
    status: int,
    plain: list[Header],
    length: int,
    kind: int,
    vary: tuple[bytes, ...],
    vary_digest: bytes,
    coded: Coded | None,
) -> StoredHead:
    headers = list(plain)
    unfinished = bool(kind & _UNFINISHED)
    if coded is not None and coded.encoding != IDENTITY:
        headers = encoded_fields(plain, coded.encoding, None if unfinished else length)
        if coded.sizes_told and not unfinished:
            headers += size_fields(coded.original_length, length)
    elif status not in (204, 304) and not unfinished:
        headers.append((b"content-length", b"%d" % length))
    return StoredHead(
        status=status,
        headers=headers,
        not_modified=[header for header in headers if header[0] in _KEPT_IN_304],
        fields=read_headers(headers),
        never_stale=bool(kind & _NEVER_STALE),
        unfinished=unfinished,
        vary=vary,
        vary_digest=vary_digest,
        length=length,
        coded=coded,
        plain=plain,
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
