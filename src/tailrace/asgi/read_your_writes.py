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
from tailrace.asgi.headers import cookie_values
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.cache.write_token import WriteTokens
from tailrace.clock import Clock, SystemClock
from tailrace.errors import StoreUnavailableError
from tailrace.events import Fenced, Observer

__all__ = ["COOKIE", "HEADER", "ReadYourWritesMiddleware"]

COOKIE = b"tailrace-fresh"
HEADER = b"tailrace-fresh"
MAX_TOKENS = 4
"""Tokens of one request that are looked at; browsers send one for each path they know."""


class ReadYourWritesMiddleware:
    """Keeps a client's reads behind its writes.

    Args:
        app: the application.
        tokens: issues and reads the tokens; a function where they are known only after the start.
        fence: returns when this process knows every write finished before the call.
        clock: monotonic time.
        observer: receives ``Fenced``.

    Cost: nothing is waited for unless the request shows a token; then one round trip.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: WriteTokens | Callable[[], WriteTokens | None],
        fence: Callable[[], Awaitable[None]],
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.app = app
        self._tokens: Callable[[], WriteTokens | None] = tokens if callable(tokens) else lambda: tokens
        self._fence = fence
        self._clock = clock or SystemClock()
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reads = ReadContext()
        tokens = self._tokens()
        headers = exchange_of(scope).headers
        if tokens is not None and (HEADER in headers or COOKIE in headers.get(b"cookie", b"")):
            await self._catch_up(reads, tokens, headers)

        async def send_token(message: Message) -> None:
            if reads.wrote and tokens is not None and message["type"] == "http.response.start":
                token = tokens.issue(unstamped=reads.wrote_unstamped).encode("ascii")
                added = [(b"set-cookie", _cookie(token, scope, tokens.ttl)), (HEADER, token)]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        context = current_reads.set(reads)
        try:
            await self.app(scope, receive, send_token)
        finally:
            current_reads.reset(context)

    async def _catch_up(self, reads: ReadContext, tokens: WriteTokens, headers: dict[bytes, bytes]) -> None:
        shown = cookie_values(headers.get(b"cookie"), COOKIE)[:MAX_TOKENS]
        if HEADER in headers:
            shown.append(headers[HEADER].strip())
        needs = {tokens.read(token.decode("latin-1")) for token in shown}
        if "bypass" in needs:
            reads.bypass = True
        elif "fence" in needs:
            began = self._clock.monotonic()
            try:
                await self._fence()
            except StoreUnavailableError:
                reads.bypass = True
                return
            reads.fenced = True
            if self._observer is not None:
                self._observer(Fenced(self._clock.monotonic() - began))


def _cookie(token: bytes, scope: Scope, ttl: float) -> bytes:
    # Path=/ and not the mount's: services below different prefixes may share one database.
    secure = b"; Secure" if scope.get("scheme") == "https" else b""
    return b"%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s" % (COOKIE, token, max(1, round(ttl)), secure)
