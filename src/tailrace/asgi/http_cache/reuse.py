"""Whether a stored response answers a request as it is. Pure.

**Source:** RFC 9111 sections 4 (reuse), 4.2.4 (stale), 5.2.1 (directives of requests), 5.2.2.4 (no-cache), 5.4
(Pragma); RFC 5861 (stale-while-revalidate, stale-if-error).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tailrace.core.cache_control import CacheControl, parse_cache_control

__all__ = ["Held", "Reuse", "asked_of", "may_serve_on_error", "reuse"]

Reuse = Literal["fresh", "stale", "revalidating", "validate"]
"""Serve it; serve it stale, as the client allows; serve it stale while it is validated behind; validate it first."""

NOTHING = CacheControl()
NO_CACHE = CacheControl(no_cache=True)


@dataclass(frozen=True, slots=True)
class Held:
    """What counts of a stored response: seconds of age and of lifetime, and its directives."""

    age: float
    lifetime: float
    control: CacheControl

    @property
    def left(self) -> float:
        """Seconds of freshness; negative once it is stale."""
        return self.lifetime - self.age

    @property
    def validate_always(self) -> bool:
        """Whether each use needs a validation; the qualified form of ``no-cache`` is about some fields only."""
        return self.control.no_cache and not self.control.no_cache_fields

    @property
    def may_be_stale(self) -> bool:
        """Whether anything may allow to serve it stale (4.2.4)."""
        control = self.control
        return not (control.must_revalidate or control.proxy_revalidate or self.validate_always) and (
            control.s_maxage is None
        )


def asked_of(headers: Mapping[bytes, bytes]) -> CacheControl:
    """The directives of a request; ``Pragma: no-cache`` counts where there is no ``Cache-Control`` (5.4)."""
    if b"cache-control" in headers:
        return parse_cache_control(headers[b"cache-control"])
    pragma = headers.get(b"pragma")
    if pragma is None:
        return NOTHING
    return NO_CACHE if b"no-cache" in [part.strip().lower() for part in pragma.split(b",")] else NOTHING


def reuse(held: Held, asked: CacheControl) -> Reuse:
    """What to do with a stored response that matches the request."""
    if held.validate_always or asked.no_cache:
        return "validate"
    if asked.max_age is not None and held.age > asked.max_age and not _tolerates(asked, held.age - asked.max_age):
        return "validate"
    if asked.min_fresh is not None and held.left < asked.min_fresh:
        return "validate"
    if held.left > 0:
        return "fresh"
    if not held.may_be_stale:
        return "validate"
    if _tolerates(asked, -held.left):
        return "stale"
    window = held.control.stale_while_revalidate
    if asked.max_age is None and asked.min_fresh is None and window is not None and -held.left <= window:
        return "revalidating"
    return "validate"


def may_serve_on_error(held: Held, asked: CacheControl, *, unreachable: bool) -> bool:
    """True if a stale response may stand in for a failure (RFC 5861 section 4, RFC 9111 section 4.2.4).

    Args:
        unreachable: the origin gave no answer at all, rather than one that says that it failed.
    """
    if not held.may_be_stale:
        return False
    windows = [each for each in (held.control.stale_if_error, asked.stale_if_error) if each is not None]
    return any(-held.left <= each for each in windows) or (unreachable and not windows)


def _tolerates(asked: CacheControl, seconds: float) -> bool:
    """Whether ``max-stale`` accepts a response that is this much too old."""
    return asked.max_stale is not None and (asked.max_stale < 0 or seconds <= asked.max_stale)
