"""Whether a response may be kept, for how long, and whether a request may be answered from the store. Pure.

**Source:** RFC 9111 sections 3 (storing), 3.5 (Authorization), 4.1 (Vary), 5.2 (Cache-Control), 5.3 (Expires).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.asgi.headers import token_list
from tailrace.asgi.route_policy import RoutePolicy
from tailrace.core.cache_control import CacheControl, parse_cache_control
from tailrace.core.http_date import parse_http_date

__all__ = ["Keep", "decide_keeping", "refuses_stored"]

MAX_VARY = 16
"""Names in ``Vary``; a response that names more is not kept."""


@dataclass(frozen=True, slots=True)
class Keep:
    """The response is to be kept.

    Attributes:
        ttl: seconds; None: as long as the policy says.
        never_stale: it may not be served past that.
        vary: what ``Vary`` names.
    """

    ttl: float | None
    never_stale: bool
    vary: tuple[bytes, ...]


def decide_keeping(
    policy: RoutePolicy,
    status: int,
    response: Mapping[bytes, bytes],
    request: Mapping[bytes, bytes],
    now: float,
) -> Keep | str:
    """Whether a response is kept, or why not (a word for logs and tests).

    Args:
        response: header fields, several lines of one field joined.
        request: header fields of the request.
        now: wall time, seconds since 1970.
    """
    control = parse_cache_control(response.get(b"cache-control"))
    refusal = _refusal(policy, status, response, control)
    open_to_all = control.for_all or control.must_revalidate
    if refusal is None and b"authorization" in request and policy.identity is None and not open_to_all:
        # The policy does not say who may have it, so RFC 9111 section 3.5 does.
        refusal = "authorization"
    if refusal is not None:
        return refusal
    lifetime = _lifetime(policy, response, control, now)
    if lifetime is not None and lifetime <= 0:
        return "expired"
    vary = token_list(response.get(b"vary"))
    if b"*" in vary or len(vary) > MAX_VARY:
        return "vary"
    ttl = lifetime if lifetime is not None and lifetime < policy.ttl else None
    return Keep(ttl, control.forbids_stale, tuple(sorted(set(vary))))


def _refusal(policy: RoutePolicy, status: int, response: Mapping[bytes, bytes], control: CacheControl) -> str | None:
    if status not in policy.statuses or b"content-range" in response:
        return "status"
    if b"set-cookie" in response:
        return "set-cookie"
    if control.no_store:
        return "no-store"
    if control.no_cache:
        return "no-cache"
    if control.private and policy.shared:
        return "private"
    return None


def _lifetime(policy: RoutePolicy, response: Mapping[bytes, bytes], control: CacheControl, now: float) -> float | None:
    explicit = control.shared_lifetime if policy.shared else control.max_age
    if explicit is not None:
        return explicit
    expires = response.get(b"expires")
    if expires is None:
        return None
    moment = parse_http_date(expires, now)
    date = parse_http_date(response.get(b"date"), now)
    return 0.0 if moment is None else moment - (now if date is None else date)


def refuses_stored(control: CacheControl, age: float, expires_in: float) -> bool:
    """True if the request does not want a stored response of this age (RFC 9111 section 5.2.1)."""
    if control.no_cache:
        return True
    if control.max_age is not None and age > control.max_age:
        return True
    return control.min_fresh is not None and expires_in < control.min_fresh
