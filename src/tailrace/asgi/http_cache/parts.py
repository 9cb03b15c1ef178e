"""Parts of a response on the shelf: what they answer, and how they grow together. Pure.

A stored 206 is one run of bytes of a representation. It answers requests for ranges that lie wholly within it; two runs
that touch become one, and all of them together the whole, if both carry the same strong validator.

**Source:** RFC 9111 sections 3.3 (incomplete responses) and 3.4 (combining); RFC 9110 sections 14.4 (Content-Range),
15.3.7 (206) and 15.3.7.3 (combining).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.types import Header
from tailrace.core.byte_ranges import Span, content_range, parse_content_range, parse_range
from tailrace.core.conditions import holds_range

__all__ = ["grown", "is_part", "joined", "piece_of", "run_of", "span_within"]

PARTIAL = 206
WHOLE = 200
OF_A_PART = frozenset({b"content-length", b"content-range"})


def is_part(stored: StoredResponse) -> bool:
    """Whether only some of the body is held."""
    return stored.status == PARTIAL


def run_of(fields: Mapping[bytes, bytes], size: int | None = None) -> tuple[Span, int] | None:
    """Which bytes a 206 with these header fields has, and of how many; None if that is not to be relied on.

    Args:
        size: of its body, once that is known: another length than the range's means that one of the two is wrong.
    """
    found = parse_content_range(fields.get(b"content-range"))
    if found is None or fields.get(b"content-type", b"").lower().startswith(b"multipart/"):
        return None
    (first, last), _ = found
    return found if size is None or size == last - first + 1 else None


def span_within(stored: StoredResponse, request: Mapping[bytes, bytes], now: float) -> Span | None:
    """The range that a GET with these fields asks for, if it lies wholly within the part; else None."""
    run = run_of(stored.fields)
    if run is None or not holds_range(request, stored.validators(now), now):
        return None
    (first, last), total = run
    spans = parse_range(request.get(b"range"), total)
    if not spans or len(spans) > 1 or spans[0][0] < first or spans[0][1] > last:
        return None
    return spans[0]


def piece_of(stored: StoredResponse, headers: Sequence[Header], span: Span) -> tuple[list[Header], bytes]:
    """Fields and body of the 206 that has ``span`` of the part; ``headers`` are what it is sent with otherwise."""
    run = run_of(stored.fields)
    assert run is not None
    (first, _), total = run
    body = stored.body[span[0] - first : span[1] - first + 1]
    fields = [header for header in headers if header[0] not in OF_A_PART]
    return [*fields, (b"content-range", content_range(span, total)), (b"content-length", b"%d" % len(body))], body


def joined(part: StoredResponse, held: StoredResponse, now: float) -> tuple[Span, int, bytes] | None:
    """Which bytes both have together, of how many, and the bytes; None if they are not of one representation, or do
    not touch.

    Args:
        part: as it was received.
        held: a part, or the whole.
    """
    mine, its = part.validators(now), held.validators(now)
    same_tag = mine.etag == its.etag and mine.etag != b"" and not mine.etag.startswith(b"W/")
    same_date = not mine.etag and not its.etag and mine.modified == its.modified
    if not same_tag and not (same_date and mine.dated_strongly and its.dated_strongly):
        return None
    run = run_of(part.fields, len(part.body))
    other = run_of(held.fields, len(held.body)) if is_part(held) else ((0, len(held.body) - 1), len(held.body))
    if run is None or other is None or run[1] != other[1]:
        return None
    ((first, last), total), ((its_first, its_last), _) = run, other
    if first > its_last + 1 or its_first > last + 1:
        return None
    before = held.body[: max(0, first - its_first)]
    after = held.body[last + 1 - its_first :] if its_last > last else b""
    return (min(first, its_first), max(last, its_last)), total, before + part.body + after


def grown(held: StoredResponse, span: Span, total: int, body: bytes) -> StoredResponse:
    """``held`` with ``body`` in place of its own, which has ``span`` of ``total`` bytes."""
    fields = [header for header in held.headers if header[0] != b"content-range"]
    if len(body) == total:
        return replace(held, status=WHOLE, headers=fields, body=body)
    return replace(held, status=PARTIAL, headers=[*fields, (b"content-range", content_range(span, total))], body=body)
