"""Read your writes: a client that wrote never reads older than its write, on any process.

Touches: one context variable.

Stands outside the response cache. Each request gets a ``ReadContext``; when the request has written, its client gets a
token, as a cookie and as a header; a request that shows a token first lets this process catch up with all others
(a fence), or goes past the cache when even that could not be enough.

Neither the cookie nor the header ever reaches what is stored: they are added outside the cache.

**Source:** the protocol of ``docs/explanation/freshness.md``; RFC 6265 (Set-Cookie).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.write_token import WriteTokens

__all__ = ["COOKIE", "HEADER", "ReadYourWritesMiddleware"]

COOKIE = b"tailrace-fresh"
"""What the cookies' names begin with; each ends in the place its token is about (``WriteTokens.place``)."""
HEADER = b"tailrace-fresh"
MAX_TOKENS = 16
"""Tokens of one request that are looked at; browsers send one for each service of the host, and for each path. With
more, one that counts could be among those not looked at, so the cache is passed by."""


class ReadYourWritesMiddleware:
    """Keeps a client's reads behind its writes.

    Args:
        app: the application.
        tokens: the tokens' issuer and reader, None while it is not known; asked when one is needed.
        fence: returns when this process knows every write finished before the call; False if it could not.

    Cost: nothing is waited for unless the request shows a genuine token; then one round trip.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: Callable[[], WriteTokens | None],
        fence: Callable[[], Awaitable[bool]],
    ) -> None:
        self.app = app
        self._tokens = tokens
        self._fence = fence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reads = ReadContext()
        exchange = exchange_of(scope)
        headers = exchange.headers
        if HEADER in headers or COOKIE in headers.get(b"cookie", b""):
            await self._catch_up(reads, headers)

        def tell(fields: list[Header]) -> None:
            if reads.wrote:
                fields += self._token(reads, scope)

        send = exchange.at_start(tell, send)
        context = current_reads.set(reads)
        try:
            await self.app(scope, receive, send)
        finally:
            reads.ended = True
            current_reads.reset(context)

    async def _catch_up(self, reads: ReadContext, headers: dict[bytes, bytes]) -> None:
        tokens = self._tokens()
        if tokens is None:
            # Nothing says whether the token is genuine, so it is believed: that only costs the cache.
            reads.bypass = True
            return
        shown = _cookies(headers.get(b"cookie", b""))
        if HEADER in headers:
            shown += [token.strip() for token in headers[HEADER].split(b",")]
        if len(shown) > MAX_TOKENS:
            reads.bypass = True
            return
        needs = {tokens.read(token.decode("latin-1")) for token in shown}
        if "bypass" in needs:
            reads.bypass = True
        elif "fence" in needs:
            reads.fenced = await self._fence()
            reads.bypass = not reads.fenced

    def _token(self, reads: ReadContext, scope: Scope) -> list[Header]:
        tokens = self._tokens()
        if tokens is None:
            return []
        unstamped = reads.wrote_unstamped or reads.stamped_in not in (None, tokens.life)
        token = tokens.issue(unstamped=unstamped).encode("ascii")
        name = b"%s-%s" % (COOKIE, tokens.place(unstamped=unstamped).encode("ascii"))
        return [(b"set-cookie", _cookie(name, token, scope, tokens.ttl)), (HEADER, token)]


def _cookies(header: bytes) -> list[bytes]:
    """The values of all cookies whose name begins with ``COOKIE``."""
    pairs = [part.strip().partition(b"=") for part in header.split(b";")]
    return [value.strip(b'" ') for name, _, value in pairs if name.startswith(COOKIE)]


def _cookie(name: bytes, token: bytes, scope: Scope, ttl: float) -> bytes:
    # Path=/ and not the mount's: services below different prefixes may share one database.
    secure = b"; Secure" if scope.get("scheme") == "https" else b""
    return b"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s" % (name, token, max(1, round(ttl)), secure)
