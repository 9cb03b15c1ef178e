"""An ASGI application that asks another server. Touches: sockets, the clock.

What comes is passed on as it comes, in both directions: bodies piece by piece, field lines that occur twice as they
stand, statuses whatever they are, interim responses not at all. A response that breaks off is broken off for the client
too, so that nobody takes a part for the whole.

**Source:** RFC 9110 sections 7.6 (forwarding), 15.6.3 (502), 15.6.5 (504); RFC 9112 sections 3.2 (Host), 8 (its end).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from tailrace.asgi.exchange import Exchange, exchange_of, quoted_path
from tailrace.asgi.headers import read_headers, token_list
from tailrace.asgi.types import Message, Receive, Scope, Send
from tailrace.clock import Clock, SystemClock
from tailrace.errors import RequestError
from tailrace.proxy.fields import (
    expects_continue,
    fields_for_client,
    fields_for_origin,
    forwards_left,
    has_body,
    names_one_host,
)
from tailrace.upstream.origin import Origin, PassedRequest

__all__ = ["Gateway"]

TRAILERS = "http.response.trailers"


class Gateway:
    """Passes every request to one origin.

    Args:
        origin: the server.
        own_host: ask for the origin's own name in ``Host``, in place of the client's.
        clock: wall time, the date of responses that have none.

    Raises, while it answers:
        RequestError: 400, the request names no host, or several; 501, its body has a transfer coding beside chunked.
        GatewayError, UpstreamTimeoutError, UpstreamError: as ``Origin.ask``; for a response that has begun, in its
            middle, so that a server breaks the connection off.
    """

    def __init__(self, origin: Origin, *, own_host: bool = False, clock: Clock | None = None) -> None:
        self._origin = origin
        self._own_host = own_host
        self._clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        fields = read_headers(scope["headers"])
        if not names_one_host(scope):
            raise RequestError("The request must say once which host it means.", code="host_invalid")
        if token_list(fields.get(b"transfer-encoding")) not in ((), (b"chunked",)):
            raise RequestError("The body is encoded in a way that is not known.", code="coding_unknown", status=501)
        if forwards_left(scope["method"], fields) == 0:
            await _answer_here(scope["method"], send)
            return
        async with self._origin.ask(self._request(scope, fields, exchange, receive)) as response:
            headers = fields_for_client(response.status, response.headers, self._clock.now())
            trailing = TRAILERS in scope.get("extensions", {}) and b"trailer" in dict(response.headers)
            start = {"type": "http.response.start", "status": response.status, "headers": headers}
            await send({**start, "trailers": True} if trailing else start)
            async for piece in response:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if trailing:
                await send({"type": TRAILERS, "headers": response.trailers, "more_trailers": False})

    def _request(
        self, scope: Scope, fields: Mapping[bytes, bytes], exchange: Exchange, receive: Receive
    ) -> PassedRequest:
        client = scope.get("client")
        path = scope.get("raw_path") or quoted_path(scope["path"])
        query = scope.get("query_string", b"")
        return PassedRequest(
            scope["method"],
            path + b"?" + query if query else path,
            fields_for_origin(
                scope["method"], scope["headers"], fields, scope.get("scheme", "http"), client[0] if client else None
            ),
            host=None if self._own_host else fields.get(b"host", b"").strip(b" \t"),
            body=_pieces(receive, exchange) if has_body(fields) else None,
            expects=expects_continue(fields),
            left=lambda: _left(receive, exchange),
        )


async def _answer_here(method: str, send: Send) -> None:
    """Be the last recipient of a request that may go no further."""
    status = 200 if method == "OPTIONS" else 501
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _pieces(receive: Receive, exchange: Exchange) -> AsyncIterator[bytes]:
    """The body of the client's request."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            exchange.disconnected = True
            raise ConnectionAbortedError("the client has left")
        if message.get("body"):
            yield bytes(message["body"])
        more = message.get("more_body", False)


async def _left(receive: Receive, exchange: Exchange) -> None:
    """Return when the client has left."""
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
    exchange.disconnected = True
