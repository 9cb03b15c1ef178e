"""What a content coding means for a message's header fields. Pure. Names of fields are in lower case everywhere here.

- A response may be encoded only if nobody has said otherwise: it has content, no coding yet, is no part of something,
  ``no-transform`` is not said, and no digest or signature vouches for its bytes.
- A strong ``ETag`` names bytes, and other bytes need another one: ``"v1"`` becomes ``"v1-zstd"``. A weak one names a
  meaning, which stays. Tags that clients send back are given to the application as it knows them, so that ``If-Match``
  goes on protecting from lost updates, which no weak tag could.
- A range of encoded bytes cannot be had from an application that knows only its own, so such a request is answered
  whole.

**Source:** RFC 9110 sections 8.4 (Content-Encoding), 8.8.3.3 (ETag and content codings), 12.5.5 (Vary), 13.1 and 14.2
(conditions, Range), 15.4.5 (304); RFC 9111 section 5.2.2.6 (no-transform); RFC 9530 (digests); RFC 9421 (signatures).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tailrace.asgi.types import Header
from tailrace.core.cache_control import parse_cache_control
from tailrace.core.content_negotiation import IDENTITY

__all__ = [
    "VARY_FIELD",
    "application_conditions",
    "encoded_etag",
    "encoded_fields",
    "leaves_range",
    "may_encode",
    "not_modified_fields",
    "opted_out",
    "size_fields",
    "with_vary",
    "without_encoding",
]

VARY = b"Accept-Encoding"
VARY_FIELD = (b"vary", VARY)

OF_THE_PLAIN = frozenset({b"accept-ranges", b"content-length"})
"""Fields that are about the bytes before they are encoded."""

WITHOUT_CONTENT = frozenset({204, 205, 206, 304})

VOUCHED = frozenset({b"content-digest", b"content-md5", b"digest", b"repr-digest", b"signature"})
"""Fields about the bytes of the content, or of the representation, which a coding changes."""

SAYING = VOUCHED | {b"cache-control", b"content-encoding", b"content-range", b"trailer"}
"""Fields that may forbid to encode a response; most have none of them."""

_DIGESTS_LATER = re.compile(rb"(?i)\b(?:content-digest|content-md5|digest|repr-digest|signature)\b")
_OURS = re.compile(rb'(?<!W/)"([^"]*)-(zstd|br|gzip)"')


def may_encode(status: int, fields: Mapping[bytes, bytes]) -> bool:
    """True if nothing in a response forbids to encode it."""
    if status < 200 or status in WITHOUT_CONTENT:
        return False
    if SAYING.isdisjoint(fields):
        return True
    if b"content-encoding" in fields or b"content-range" in fields:
        return False
    control = fields.get(b"cache-control")
    if control is not None and parse_cache_control(control).no_transform:
        return False
    if not VOUCHED.isdisjoint(fields):
        return False
    trailer = fields.get(b"trailer")
    return trailer is None or _DIGESTS_LATER.search(trailer) is None


def opted_out(fields: Mapping[bytes, bytes]) -> bool:
    """True if the application said ``Content-Encoding: identity``: it wants its bytes left alone."""
    return fields.get(b"content-encoding", b"").strip().lower() == IDENTITY.encode("ascii")


def without_encoding(headers: Sequence[Header]) -> list[Header]:
    """``headers`` without ``Content-Encoding: identity``, which says nothing to a client (RFC 9110 section 8.4)."""
    return [header for header in headers if header[0] != b"content-encoding"]


def with_vary(headers: Sequence[Header]) -> list[Header]:
    """``headers`` saying that the response depends on ``Accept-Encoding``.

    >>> with_vary([(b"vary", b"Origin")])
    [(b'vary', b'Origin, Accept-Encoding')]
    """
    told = [value for name, value in headers if name == b"vary"]
    if not told:
        return [*headers, VARY_FIELD]
    named = {part.strip().lower() for value in told for part in value.split(b",")}
    if b"*" in named or VARY.lower() in named:
        return list(headers)
    merged = b", ".join([part for part in [value.strip() for value in told] if part] + [VARY])
    return [*[header for header in headers if header[0] != b"vary"], (b"vary", merged)]


def encoded_etag(etag: bytes, encoding: str) -> bytes:
    """The tag of a representation in another coding; a weak tag, or what is none, stays.

    >>> encoded_etag(b'"v1"', "br"), encoded_etag(b'W/"v1"', "br")
    (b'"v1-br"', b'W/"v1"')
    """
    if encoding == IDENTITY or len(etag) < 2 or not etag.startswith(b'"') or not etag.endswith(b'"'):
        return etag
    return etag[:-1] + b"-" + encoding.encode("ascii") + b'"'


def encoded_fields(headers: Sequence[Header], encoding: str, length: int | None) -> list[Header]:
    """The fields of a response after it was encoded.

    Args:
        headers: before, ``Vary`` already complete.
        length: bytes of the encoded content, None while nobody knows.
    """
    fields = [
        (name, encoded_etag(value, encoding)) if name == b"etag" else (name, value)
        for name, value in headers
        if name not in OF_THE_PLAIN
    ]
    fields.append((b"content-encoding", encoding.encode("ascii")))
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    return fields


def application_conditions(headers: Sequence[Header]) -> list[Header] | None:
    """The request's fields with its entity tags as the application made them; None if they are so already.

    Each tag with one of our endings is joined by the tag without: it may be the application's own after all.

    >>> application_conditions([(b"if-match", b'"v1-zstd"')])
    [(b'if-match', b'"v1-zstd", "v1"')]
    """
    changed = None
    for position, (name, value) in enumerate(headers):
        if name in (b"if-none-match", b"if-match"):
            plain = [b'"' + tag + b'"' for tag, _ in _OURS.findall(value)]
            if plain:
                changed = list(headers) if changed is None else changed
                changed[position] = (name, b", ".join([value, *plain]))
    return changed


def leaves_range(fields: Mapping[bytes, bytes], encoding: str) -> bool:
    """True if a request's ``Range`` must not reach the application, which could only take it for its own bytes'.

    So when ``If-Range`` shows that the client has a part of an encoded response, or may have: a date does not tell.
    """
    condition = fields.get(b"if-range")
    if condition is None or b"range" not in fields:
        return False
    if b'"' in condition:
        return _OURS.search(condition) is not None
    return encoding != IDENTITY


def not_modified_fields(headers: Sequence[Header], asked: bytes | None, encoding: str) -> list[Header]:
    """The fields of a 304: the tag that the client has, and ``Vary`` as the 200 would have it.

    Args:
        asked: the request's ``If-None-Match``.
        encoding: what the response would be encoded with.
    """
    fields = with_vary(headers)
    if asked is None:
        return fields
    known = [(tag, ending.decode("ascii")) for tag, ending in _OURS.findall(asked)]
    known.sort(key=lambda each: each[1] != encoding)
    for position, (name, value) in enumerate(fields):
        if name == b"etag" and not value.startswith(b"W/"):
            held = [ending for tag, ending in known if b'"' + tag + b'"' == value]
            if held:
                fields[position] = (name, encoded_etag(value, held[0]))
    return fields


def size_fields(original: int, encoded: int) -> list[Header]:
    """How much a response shrank: its original bytes, and how many times what was sent that is.

    >>> size_fields(4096, 1024)
    [(b'x-original-size', b'4096'), (b'x-compression-ratio', b'4.00')]
    """
    return [(b"x-original-size", b"%d" % original), (b"x-compression-ratio", b"%.2f" % (original / encoded))]
