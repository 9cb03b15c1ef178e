"""Passing unsafe requests on: what they changed is ended before their clients learn that they succeeded.

Touches: the store, the application.

**Source:** RFC 9111 section 4.4 (invalidation); RFC 9875 (groups).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.headers import read_headers
from tailrace.asgi.http_cache.requests import target_of
from tailrace.asgi.http_cache.update import groups_of, invalidated_targets, may_be_done
from tailrace.asgi.types import ASGIApp, Message, Receive, Send
from tailrace.errors import StoreUnavailableError

__all__ = ["write"]

End = Callable[[Sequence[str], Sequence[str]], Awaitable[None]]
"""Ends what is stored for targets, and what is in groups of the first one's origin."""


async def write(app: ASGIApp, exchange: Exchange, end: End, receive: Receive, send: Send) -> None:
    """Pass an unsafe request on.

    Where no answer comes, since its client left or the application broke off, it may have been done all the same.
    """
    answered = False

    async def send_behind_the_end(message: Message) -> None:
        nonlocal answered
        if message["type"] == "http.response.start":
            answered = True
            if 200 <= message["status"] < 400:
                fields = read_headers([(name.lower(), value) for name, value in message.get("headers", ())])
                targets = invalidated_targets(target_of(exchange), fields)
                # What the store does not take now it is owed, and nothing is read before it has.
                with suppress(StoreUnavailableError):
                    await end(targets, groups_of(fields.get(b"cache-group-invalidation")))
            status = (b"cache-status", b"tailrace; fwd=method")
            message = {**message, "headers": [*message.get("headers", ()), status]}
        await send(message)

    try:
        await app(exchange.scope, receive, send_behind_the_end)
    except BaseException as error:
        if not answered and may_be_done(error):
            with suppress(StoreUnavailableError):
                await end([target_of(exchange)], ())
        raise
