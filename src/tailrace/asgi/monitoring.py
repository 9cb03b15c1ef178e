"""Paths that a process answers about itself, before whatever it serves. Touches: the parts that it asks.

Some are for operators only: who shows the admin token, or asks from this machine with no proxy speaking for somebody
else. For everyone else they do not exist: the request goes on.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping

from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.settings import HttpSettings

__all__ = ["Answer", "Answering", "MonitoringMiddleware", "as_json", "is_operator"]

Answer = tuple[int, bytes, bytes]
"""Status, media type and body."""
Answering = Callable[[Exchange], Awaitable[Answer]]

OPERATOR = b"tailrace-operator"
"""The field of operators. A browser sends it to no other origin without asking, so no page can act in their name."""

FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})


class MonitoringMiddleware:
    """Answers GET and HEAD of its paths, and POST of those that change something; everything else goes on.

    Args:
        app: the application.
        paths: path, without ``root_path``, to what answers it; one that ends in ``*`` stands for all that begin so.
        closed: those of them that are for operators only.
        settings: the admin token.
        mark: put into the scope of every request, under these keys.
        changing: those paths that are asked with POST instead; all of them are for operators only, who must send
            ``Tailrace-Operator``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        paths: Mapping[str, Answering],
        closed: frozenset[str],
        settings: HttpSettings,
        mark: Mapping[str, object] | None = None,
        changing: Mapping[str, Answering] | None = None,
    ) -> None:
        self.app = app
        self._paths = {path: answering for path, answering in paths.items() if not path.endswith("*")}
        self._below = [(path[:-1], path, answering) for path, answering in paths.items() if path.endswith("*")]
        self._starts = tuple([start for start, _, _ in self._below])
        self._closed = closed
        self._settings = settings
        self._mark = dict(mark or {})
        self._changing = changing or {}
        self._whole = frozenset(self._paths).union(self._changing)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope.update(self._mark)
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path not in self._whole and not path.startswith(self._starts):
            await self.app(scope, receive, send)
            return
        answering, name = self._paths.get(path), path
        if answering is None and path.startswith(self._starts):
            for start, below, found in self._below:
                if path.startswith(start):
                    answering, name = found, below
        changes = scope["type"] == "http" and scope["method"] == "POST" and path in self._changing
        if changes:
            answering, name = self._changing[path], path
        if answering is None or scope["type"] != "http" or not (changes or scope["method"] in ("GET", "HEAD")):
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        if (changes and OPERATOR not in exchange.headers) or (
            (changes or name in self._closed) and not is_operator(exchange, self._settings)
        ):
            await self.app(scope, receive, send)  # as if it did not exist
            return
        exchange.route = name
        status, media_type, body = await answering(exchange)
        headers: list[Header] = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def is_operator(exchange: Exchange, settings: HttpSettings) -> bool:
    """True for who shows the admin token, and for clients on this machine that no proxy speaks for.

    The token comes as ``Authorization: Bearer``, or in ``Tailrace-Operator`` where that field says whose request it is.
    """
    headers = exchange.headers
    if settings.admin_token is not None:
        expected = settings.admin_token.get_secret_value().encode()
        if OPERATOR in headers:
            return hmac.compare_digest(headers[OPERATOR], expected)
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), expected)
    client = exchange.scope.get("client")
    if client is None or not FORWARDED.isdisjoint(headers):
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False


def as_json(status: int, body: object) -> Answer:
    """A JSON answer."""
    return status, b"application/json", json.dumps(body, default=str).encode()
