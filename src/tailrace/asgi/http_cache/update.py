"""What a validation, a HEAD or an unsafe request means for what is stored. Pure.

**Source:** RFC 9111 sections 3.2 (updating fields), 4.3.3 and 4.3.4 (304), 4.3.5 (HEAD), 4.4 (invalidation); RFC 9875
(groups).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import http_sf

from tailrace.asgi.headers import read_headers
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.http_cache.storing import Guess, age_on_arrival, directives_of, lifetime_of, stored_fields
from tailrace.asgi.types import Header
from tailrace.errors import TailraceError, UpstreamError

__all__ = ["conditions_for", "groups_of", "head_agrees", "invalidated_targets", "may_be_done", "refreshed"]

UNCHANGED_BY_304 = frozenset({b"content-encoding", b"content-length", b"content-range", b"content-type", b"etag"})
"""They describe the stored content, which a 304 does not replace (3.2)."""

MAX_GROUPS = 32
MAX_GROUP = 128
"""RFC 9875 section 2: a cache supports at least 32 groups of 32 characters."""


def conditions_for(stored: Sequence[StoredResponse], now: float) -> list[Header]:
    """Fields that make a request a validation of what is stored; empty if nothing of it has a validator (4.3.1)."""
    found = [each.validators(now) for each in stored]
    tags = list(dict.fromkeys([each.etag for each in found if each.etag]))
    conditions = [(b"if-none-match", b", ".join(tags))] if tags else []
    if len(stored) == 1 and b"last-modified" in stored[0].fields and found[0].modified is not None:
        conditions.append((b"if-modified-since", stored[0].fields[b"last-modified"]))
    return conditions


def refreshed(
    stored: StoredResponse, headers: Sequence[Header], requested: float, received: float, *, guess: Guess
) -> StoredResponse:
    """What is stored, with the fields of the 304 that confirmed it (or of a HEAD's 200) in place of its own."""
    told = read_headers([(name.lower(), value) for name, value in headers])
    control = directives_of(told).control
    new = [header for header in stored_fields(headers, told, control) if header[0] not in UNCHANGED_BY_304]
    replaced = {name for name, _ in new}
    merged = [header for header in stored.headers if header[0] not in replaced] + new
    fields = read_headers(merged)
    said = directives_of(fields)
    lifetime = lifetime_of(stored.status, fields, said, received, guess=guess)
    return replace(
        stored,
        headers=merged,
        received=received,
        initial_age=age_on_arrival({**told, b"date": told.get(b"date", b"")}, requested, received),
        lifetime=lifetime or 0.0,
    )


def head_agrees(stored: StoredResponse, fields: Mapping[bytes, bytes], now: float) -> bool:
    """True if a HEAD's 200 describes what is stored; otherwise that is out of date (4.3.5)."""
    mine = stored.fields
    length = fields.get(b"content-length")
    if length is not None and length != b"%d" % len(stored.body):
        return False
    return all(name not in fields or fields[name] == mine.get(name) for name in (b"etag", b"last-modified"))


def invalidated_targets(target: str, fields: Mapping[bytes, bytes]) -> list[str]:
    """The URIs that a successful unsafe request makes out of date: its own, and those of the same origin that its
    response names (4.4)."""
    targets = [target]
    for name in (b"location", b"content-location"):
        value = fields.get(name)
        if not value:
            continue
        try:
            origin, parts = urlsplit(target), urlsplit(urljoin(target, value.decode("latin-1")))
            same = _origin_of(parts) == _origin_of(origin)
        except ValueError:
            continue
        if same:  # which the target may write with its port or without
            targets.append(parts._replace(netloc=origin.netloc, fragment="").geturl())
    return targets


def may_be_done(error: BaseException) -> bool:
    """Whether an unsafe request may have been done that ended in ``error`` before it was answered.

    What was refused was not done, and what could not be asked was not; of everything else nobody knows.
    """
    if isinstance(error, UpstreamError):
        return not error.unasked
    return not isinstance(error, TailraceError) or error.status >= 500


def _origin_of(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def groups_of(value: bytes | None) -> tuple[str, ...]:
    """The names in ``Cache-Groups`` or ``Cache-Group-Invalidation``; none if it is no list of strings.

    >>> groups_of(b'"cars", "red";a')
    ('cars', 'red')
    """
    if not value:
        return ()
    try:
        members: Any = http_sf.parse(value, tltype="list")
    except http_sf.StructuredFieldError:
        return ()
    names = [item for item, _ in members]
    if not all(type(name) is str for name in names):
        return ()
    return tuple(name for name in names[:MAX_GROUPS] if len(name) <= MAX_GROUP)
