"""Conditional requests: entity tags compared, preconditions judged in their order. Pure.

What a cache holds stands for the selected representation. Conditions on writes (``If-Match``, ``If-Unmodified-Since``)
are the origin's to judge, which alone knows the current state.

**Source:** RFC 9110 sections 8.8.2 (Last-Modified), 8.8.3 (ETag, its comparisons), 13.1.2 (If-None-Match), 13.1.3
(If-Modified-Since), 13.1.5 (If-Range), 13.2 (precedence); RFC 9111 section 4.3.2 (evaluated by a cache).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.core.http_date import parse_http_date

__all__ = ["Validators", "holds_range", "is_not_modified", "validators_of"]

_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST = re.compile(rb'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|$))+')
_WEAK = b"W/"
MAX_LIST = 16 * 1024
"""Bytes of a list of tags that are looked at; a longer one names nothing."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a representation from another.

    Attributes:
        etag: as sent; empty if there is none, or if it is no entity tag.
        modified: Last-Modified, seconds since 1970.
        date: when the response was made, seconds since 1970.
    """

    etag: bytes
    modified: int | None
    date: int | None

    @property
    def dated_strongly(self) -> bool:
        """Whether the representation cannot have changed twice in the second of its date (8.8.2.2)."""
        return self.modified is not None and self.date is not None and self.date - self.modified >= 1


def validators_of(fields: Mapping[bytes, bytes], now: float) -> Validators:
    """Those of a response with these header fields."""
    etag = fields.get(b"etag", b"").strip(b" \t")
    return Validators(
        etag if _TAG.fullmatch(etag) else b"",
        parse_http_date(fields.get(b"last-modified"), now),
        parse_http_date(fields.get(b"date"), now),
    )


def is_not_modified(request: Mapping[bytes, bytes], held: Validators, now: float) -> bool:
    """True if a GET or HEAD with these fields is answered 304 where a 2xx with these validators would have answered it.

    >>> is_not_modified({b"if-none-match": b'"a,b", W/"c"'}, Validators(b'"c"', None, None), 0)
    True
    """
    wanted = request.get(b"if-none-match")
    if wanted is not None:  # then If-Modified-Since is ignored (13.1.3)
        wanted = wanted.strip(b" \t")
        return wanted == b"*" or any(_same_meaning(tag, held.etag) for tag in _tags(wanted))
    since = parse_http_date(request.get(b"if-modified-since"), now)
    # A response without Last-Modified is as new as it is (RFC 9111 4.3.2).
    modified = held.date if held.modified is None else held.modified
    return since is not None and modified is not None and modified <= since


def holds_range(request: Mapping[bytes, bytes], held: Validators, now: float) -> bool:
    """True if ``If-Range`` is absent, or names the very bytes that are held: then ``Range`` counts (13.1.5).

    >>> holds_range({b"if-range": b'W/"a"'}, Validators(b'W/"a"', None, None), 0)
    False
    """
    wanted = request.get(b"if-range")
    if wanted is None:
        return True
    wanted = wanted.strip(b" \t")
    if _TAG.fullmatch(wanted):
        return wanted == held.etag and not wanted.startswith(_WEAK)
    moment = parse_http_date(wanted, now)
    return moment is not None and moment == held.modified and held.dated_strongly


def _tags(value: bytes) -> list[bytes]:
    """The entity tags of a list; none if it is not one: what was meant cannot be told then."""
    if len(value) > MAX_LIST or _LIST.fullmatch(value) is None:
        return []
    return _TAG.findall(value)


def _same_meaning(one: bytes, other: bytes) -> bool:
    """The weak comparison (8.8.3.2)."""
    return bool(other) and one.removeprefix(_WEAK) == other.removeprefix(_WEAK)
