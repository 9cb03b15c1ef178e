"""What an answer or a failure means for the call. Pure.

    2xx                            ok
    408, 429, 500, 502, 503, 504   passing: the same request may succeed later
    any other                      rejected: repeating it changes nothing; 301, 302, 303, 307 and 308 say where to ask

**Source:** RFC 9110 sections 9.2.2 (idempotent methods), 10.2.3 (Retry-After), 15 (status codes), 15.4
(redirects); RFC 6585 section 4 (429); draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import re
from collections.abc import Container
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import Literal

from tailrace.errors import (
    BulkheadFullError,
    CircuitOpenError,
    TailraceError,
    UpstreamError,
    UpstreamRedirectedError,
    UpstreamRejectedError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
)

__all__ = [
    "IDEMPOTENT",
    "LONGEST_RETRY_AFTER",
    "classify",
    "error_for",
    "outcome_of",
    "parse_retry_after",
    "repeatable",
]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice."""

LONGEST_RETRY_AFTER = 86_400.0
"""A longer ``Retry-After`` (seconds) is taken for this; it exceeds every caller's time anyway."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_SECONDS = re.compile(r"[0-9]{1,18}")

Verdict = Literal["ok", "passing", "rejected"]


def classify(status: int) -> Verdict:
    """What an answer with ``status`` means."""
    if 200 <= status < 300:
        return "ok"
    return "passing" if status in _PASSING else "rejected"


def repeatable(method: str, header_names: Container[str]) -> bool:
    """True if sending the request twice does no more than sending it once.

    Args:
        method: upper case.
        header_names: of the request, lower case; an ``idempotency-key`` makes any method repeatable.
    """
    return method in IDEMPOTENT or "idempotency-key" in header_names


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait as asked by a ``Retry-After`` header; None if it is absent or says nothing usable.

    Args:
        value: seconds or an HTTP-date; anything else (negative numbers, fractions, words) is ignored.
        now: wall time, against which a date is held; a date in the past means 0.

    >>> parse_retry_after("120", 0.0)
    120.0
    >>> parse_retry_after("-1", 0.0) is None
    True
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER)
    if not text[:1].isalpha():  # an HTTP-date begins with the name of a day
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)  # noqa: UP017 - "-0000" is how email.utils names UTC
        return min(max(0.0, moment.timestamp() - now), LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def error_for(name: str, status: int, retry_after: float | None, location: str | None = None) -> UpstreamError:
    """The error that an answer other than 2xx becomes. Says the status, never anything of the request or the body.

    Args:
        location: the answer's header field of that name.
    """
    if classify(status) == "passing":
        return UpstreamUnavailableError(f"{name}: answered {status}", retry_after=retry_after)
    if status in _REDIRECTS and location:
        return UpstreamRedirectedError(f"{name}: answered {status}", answered=status, location=location)
    return UpstreamRejectedError(f"{name}: answered {status}", answered=status)


def outcome_of(error: BaseException | None) -> str:
    """The outcome of a call as events name it: ok, error, timeout, rejected, open, full, cancelled."""
    if error is None:
        return "ok"
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (UpstreamTimeoutError, "timeout"),
        (UpstreamRejectedError, "rejected"),
        (CircuitOpenError, "open"),
        (BulkheadFullError, "full"),
        (TailraceError, "error"),
        (Exception, "error"),
    )
    return next((outcome for kind, outcome in kinds if isinstance(error, kind)), "cancelled")
