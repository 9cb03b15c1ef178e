"""What an answer or a failure means for the call. Pure.

    2xx                            ok
    408, 429, 500, 502, 503, 504   passing: the same request may succeed later
    any other                      rejected: repeating it changes nothing; 301, 302, 303, 307 and 308 say where to ask

**Source:** RFC 9110 sections 9.2.2 (idempotent methods), 15 (status codes), 15.4
(redirects); RFC 6585 section 4 (429); draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from collections.abc import Container
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
    "classify",
    "error_for",
    "outcome_of",
    "repeatable",
]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

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
