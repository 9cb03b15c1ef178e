"""Requests as the shared cache names and sends them. Pure.

**Source:** RFC 9110 section 7.1 (target URI); RFC 3986 section 3.2.2 (host); RFC 9111 section 4.3.1 (validation
requests); RFC 5861 section 3.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

from tailrace.asgi.exchange import EXCHANGE, Exchange, exchange_of, quoted_path
from tailrace.asgi.types import Message, Receive, Scope

__all__ = ["conditional", "exchange_behind", "is_host", "no_body", "target_of", "to_nobody"]

CLIENTS_CONDITIONS = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})
"""Fields of which only the client that sent them has use."""


_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


def is_host(value: bytes) -> bool:
    """Whether it is what ``Host`` may say: a name or an address, and a port.

    >>> is_host(b"shop.example:80"), is_host(b"shop.example/a"), is_host(b"me@shop.example")
    (True, False, False)
    """
    return _HOST.fullmatch(value) is not None


def target_of(exchange: Exchange) -> str:
    """The target URI (RFC 9110 section 7.1), without a fragment.

    A ``Host`` that is none is quoted: one that has a slash in it would name the target of another host and path.
    """
    scope = exchange.scope
    named = exchange.headers.get(b"host", b"").strip(b" \t").lower()
    host = named.decode("latin-1") if is_host(named) else quote(named, safe="")
    raw = scope.get("raw_path") or quoted_path(exchange.path)
    query = b"?" + exchange.query if exchange.query else b""
    version = "" if exchange.key_part is None else f" {exchange.key_part}"
    return f"{scope.get('scheme', 'http')}://{host}{(raw + query).decode('latin-1')}{version}"


def conditional(exchange: Exchange, conditions: list[tuple[bytes, bytes]], *, ranged: bool) -> Scope:
    """The scope of a validation: the cache's conditions in place of the client's.

    Args:
        ranged: what is validated is a part; should it have changed, the range of the new representation is wanted.
    """
    scope = dict(exchange.scope)
    left_out = CLIENTS_CONDITIONS - {b"range"} if ranged else CLIENTS_CONDITIONS
    scope["headers"] = [each for each in scope["headers"] if each[0] not in left_out] + conditions
    return scope


def exchange_behind(exchange: Exchange) -> Exchange:
    """A request of the cache's own for what ``exchange`` asked, under the same id."""
    scope = {**exchange.scope, "method": "GET"}
    scope["headers"] = [each for each in scope["headers"] if each[0] not in CLIENTS_CONDITIONS]
    scope.pop(EXCHANGE, None)
    behind = exchange_of(scope)
    behind.request_id, behind.begun = exchange.request_id, exchange.begun
    return behind


def no_body() -> Receive:
    """``receive`` of a request without a body, whose client stays."""
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


async def to_nobody(message: Message) -> None:
    """Of a validation behind an answer only what is stored is of use."""
