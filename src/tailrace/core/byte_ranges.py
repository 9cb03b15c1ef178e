"""Byte ranges: what a ``Range`` asks for, and the parts that answer it. Pure.

**Source:** RFC 9110 sections 14.1.2 (byte ranges), 14.2 (Range; what is invalid is ignored, as are too many or
overlapping ones), 14.4 (Content-Range), 14.6 (multipart/byteranges), 15.3.7 (206), 15.5.17 (416).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["UNSATISFIABLE", "Span", "content_range", "multipart", "parse_content_range", "parse_range"]

Span = tuple[int, int]
"""First and last byte, both included."""

UNSATISFIABLE: tuple[Span, ...] = ()
"""What is asked for begins behind the end: 416."""

MAX_PARTS = 8
"""Ranges in one request; more are more trouble than the whole."""

_UNIT = re.compile(rb"bytes=(.*)", re.IGNORECASE | re.DOTALL)
_SPEC = re.compile(rb"(\d{1,18})-(\d{0,18})|-(\d{1,18})")
_CONTENT = re.compile(rb"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)
_LONGEST = 400


def parse_range(value: bytes | None, length: int) -> tuple[Span, ...] | None:
    """The spans wanted of ``length`` bytes, in the order asked; None: the whole is the answer.

    So for what is no byte range, what overlaps, and what asks for too many parts.

    >>> parse_range(b"bytes=0-4, -3", 100), parse_range(b"bytes=100-", 100), parse_range(b"bytes=4-2", 100)
    (((0, 4), (97, 99)), (), None)
    """
    if value is None or len(value) > _LONGEST:
        return None
    found = _UNIT.fullmatch(value.strip(b" \t"))
    if found is None:
        return None
    asked = [part for part in [item.strip(b" \t") for item in found[1].split(b",")] if part]
    spans: list[Span] = []
    for spec in asked:
        match = _SPEC.fullmatch(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            span = (max(0, length - int(suffix)), length - 1) if int(suffix) else (length, length)
        else:
            span = (int(first), int(last) if last else length - 1)
            if last and span[1] < span[0]:
                return None  # invalid, and with it the whole field
        if span[0] < length:
            spans.append((span[0], min(span[1], length - 1)))
    if not asked or len(spans) > MAX_PARTS or _overlap(spans):
        return None
    return tuple(spans)


def content_range(span: Span | None, length: int) -> bytes:
    """The value of ``Content-Range``; without a span, that of a 416.

    >>> content_range((0, 4), 10), content_range(None, 10)
    (b'bytes 0-4/10', b'bytes */10')
    """
    return b"bytes */%d" % length if span is None else b"bytes %d-%d/%d" % (*span, length)


def parse_content_range(value: bytes | None) -> tuple[Span, int] | None:
    """Which bytes a 206 has, and of how many; None for what is invalid or does not tell both (14.4).

    >>> parse_content_range(b"bytes 0-4/10"), parse_content_range(b"bytes 0-4/*"), parse_content_range(b"bytes 4-10/10")
    (((0, 4), 10), None, None)
    """
    found = _CONTENT.fullmatch((value or b"").strip(b" \t"))
    if found is None:
        return None
    first, last, length = (int(part) for part in found.groups())
    return ((first, last), length) if first <= last < length else None


def multipart(spans: Sequence[Span], body: bytes, media_type: bytes | None, boundary: bytes) -> bytes:
    """The body of a 206 with several parts.

    Args:
        media_type: of the whole, repeated in each part; None if it has none.
        boundary: that occurs in no part.
    """
    pieces = []
    for span in spans:
        kind = b"" if media_type is None else b"Content-Type: %b\r\n" % media_type
        where = content_range(span, len(body))
        pieces.append(b"--%b\r\n%bContent-Range: %b\r\n\r\n" % (boundary, kind, where))
        pieces += [body[span[0] : span[1] + 1], b"\r\n"]
    return b"".join([*pieces, b"--%b--\r\n" % boundary])


def _overlap(spans: Sequence[Span]) -> bool:
    ordered = sorted(spans)
    return any(after[0] <= before[1] for before, after in pairwise(ordered))
