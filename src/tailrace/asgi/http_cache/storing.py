"""Whether a response may be stored, for how long it is fresh, and how old it is when it arrives. Pure.

**Source:** RFC 9111 sections 3 (storing), 3.1 (fields), 3.5 (Authorization), 4.2.1 (lifetime), 4.2.2 (heuristics),
4.2.3 (age), 5.1 (Age), 5.2.2 (directives), 5.3 (Expires); RFC 9213 section 2 (targeted fields).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailrace.asgi.headers import connection_fields, token_list
from tailrace.asgi.types import Header
from tailrace.core.cache_control import CacheControl, parse_cache_control, parse_targeted
from tailrace.core.http_date import parse_http_date

__all__ = [
    "NO_GUESS",
    "TARGETED",
    "Directives",
    "Guess",
    "age_on_arrival",
    "directives_of",
    "lifetime_of",
    "refusal",
    "stored_fields",
]

TARGETED = (b"cdn-cache-control",)
"""Fields for caches like this one, the first that is there and valid going before ``Cache-Control`` and ``Expires``."""

UNDERSTOOD = frozenset({200, 203, 204, 206, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501})
"""Final statuses of which all that matters to a cache is known; what ``must-understand`` asks about."""

HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
"""RFC 9110 section 15.1: those that may be kept for a while although nothing says for how long."""

HEURISTIC_LONGEST = 24 * 3600.0
NEVER = frozenset({304, 412, 416})
"""Statuses that answer the conditions or ranges of one request."""

MAX_AGE = 2**31

OF_A_REQUEST = frozenset({b"age", b"cache-status", b"content-length", b"server-timing", b"x-request-id"})
"""Made anew for each response."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What a response says to this cache. ``targeted``: by a field of its own, so that ``Expires`` does not count."""

    control: CacheControl
    targeted: bool


@dataclass(frozen=True, slots=True)
class Guess:
    """For how long a response is taken for fresh that does not say so itself (4.2.2).

    Attributes:
        share: of the time since it was last modified.
        seconds: in place of that, where the server's operator knows better.
    """

    share: float = 0.0
    seconds: float | None = None


NO_GUESS = Guess()


def directives_of(fields: Mapping[bytes, bytes]) -> Directives:
    """From the header fields by name."""
    for name in TARGETED:
        control = parse_targeted(fields.get(name))
        if control is not None:
            return Directives(control, True)
    return Directives(parse_cache_control(fields.get(b"cache-control")), False)


def refusal(status: int, fields: Mapping[bytes, bytes], said: Directives, request: Mapping[bytes, bytes]) -> str | None:
    """Why the response to a GET must not be stored, as a word; None if it may.

    Cookies are not in the RFC: a response that sets one belongs to whom it is sent to, and one that was made for a
    request that sent one belongs to somebody unless it says ``public`` or ``s-maxage``.
    """
    control = said.control
    understood = status in UNDERSTOOD
    if status < 200 or status in NEVER or (control.must_understand and not understood):
        return "status"
    if control.no_store and not (control.must_understand and understood):
        return "no-store"
    if control.private and not control.private_fields:
        return "private"
    if b"authorization" in request and not (control.for_all or control.must_revalidate):
        return "authorization"
    if b"set-cookie" in fields or (b"cookie" in request and not control.for_all):
        return "cookie"
    return "vary" if b"*" in token_list(fields.get(b"vary")) else None


def lifetime_of(
    status: int, fields: Mapping[bytes, bytes], said: Directives, now: float, *, guess: Guess = NO_GUESS
) -> float | None:
    """Seconds for which the response is fresh from when it was made; None if nothing says so.

    Args:
        now: wall time.
        guess: what holds where nothing says so.
    """
    explicit = said.control.shared_lifetime
    if explicit is not None:
        return float(explicit)
    date = parse_http_date(fields.get(b"date"), now)
    made = now if date is None else float(date)
    if b"expires" in fields and not said.targeted:
        expires = parse_http_date(fields[b"expires"], now)
        return 0.0 if expires is None else max(0.0, expires - made)
    if said.control.no_cache or not (status in HEURISTIC or said.control.public):
        return None
    modified = parse_http_date(fields.get(b"last-modified"), now)
    if guess.seconds is None and guess.share and modified is not None and modified < made:
        return min((made - modified) * guess.share, HEURISTIC_LONGEST)
    return guess.seconds


def age_on_arrival(fields: Mapping[bytes, bytes], requested: float, received: float) -> float:
    """Seconds since the response was made, or validated, at its origin (``corrected_initial_age``).

    Args:
        requested, received: wall times at which the request was sent and the response's fields came.
    """
    told = _age(fields.get(b"age"))
    date = parse_http_date(fields.get(b"date"), received)
    apparent = 0.0 if date is None else max(0.0, received - date)
    return max(apparent, told + max(0.0, received - requested))


def stored_fields(headers: Sequence[Header], fields: Mapping[bytes, bytes], control: CacheControl) -> list[Header]:
    """The header fields that are kept, in their order, names in lower case (RFC 9111 section 3.1)."""
    left_out = connection_fields(fields) | OF_A_REQUEST | {name.encode("latin-1") for name in control.private_fields}
    return [(name.lower(), value) for name, value in headers if name.lower() not in left_out]


def _age(value: bytes | None) -> int:
    """The seconds of an ``Age``; the first member of a list counts, and what is no number is ignored (5.1)."""
    first = (value or b"").split(b",")[0].strip(b" \t")
    if not first.isdigit():
        return 0
    return MAX_AGE if len(first) > 10 else min(int(first), MAX_AGE)
