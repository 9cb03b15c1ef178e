"""What an operator asks to clear, and which targets that means. Pure.

**Source:** RFC 9110 section 7.1 (target URI); RFC 9111 section 4.4 (invalidation).
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import parse_qs

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache.requests import target_of
from tailrace.errors import RequestError

__all__ = ["to_clear", "to_target"]


def to_clear(exchange: Exchange, kinds: Collection[str]) -> tuple[str, list[str]]:
    """Which of ``kinds`` the query names, and its values; ``all`` has none but ``yes``.

    Raises:
        RequestError: 422, it does not name exactly one.
    """
    asked = parse_qs(exchange.query.decode("latin-1"))
    if len(asked) != 1 or not asked.keys() <= set(kinds) or asked.get("all", ["yes"]) != ["yes"]:
        named = ", ".join(f"?{kind}={'yes' if kind == 'all' else ''}" for kind in kinds)
        raise RequestError(f"say what to clear, one of {named}", status=422, code="nothing_named")
    [(kind, values)] = asked.items()
    return kind, values


def to_target(url: str, exchange: Exchange) -> str:
    """The target of a GET of ``url``, to the byte as its client writes it: an address, or a path where ``exchange`` was
    sent.

    Raises:
        RequestError: 422, it is neither.
    """
    url = url.partition("#")[0]
    if url.startswith("/"):
        return "/".join(target_of(exchange).split("/", 3)[:3]) + url
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0].partition("?")[0]
    if scheme.lower() not in ("http", "https") or not authority:
        raise RequestError(f"{url} is neither an address nor a path", status=422, code="no_address")
    place = rest[len(authority) :]
    return f"{scheme.lower()}://{authority.lower()}{place if place.startswith('/') else '/' + place}"
