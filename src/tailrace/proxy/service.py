"""The cache in front of one server, as one ASGI application. Touches: the store, sockets, the clock.

**Source:** RFC 9111 (a shared cache); RFC 9110 section 7.6 (a gateway).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.monitoring import is_operator
from tailrace.asgi.problem_details import ProblemDetailsMiddleware
from tailrace.asgi.types import ASGIApp, Receive, Scope, Send
from tailrace.asgi.x_cache import XCacheMiddleware
from tailrace.cache import Cache
from tailrace.clock import Clock, SystemClock
from tailrace.proxy.fields import end_to_end_fields
from tailrace.proxy.gateway import Gateway
from tailrace.proxy.operation import Operation
from tailrace.settings import Settings
from tailrace.stores import open_store
from tailrace.upstream.origin import Origin

__all__ = ["CacheProxy"]

_log = logging.getLogger("tailrace.proxy")

HEAD = 128 * 1024
"""Bytes that are kept of a response beside its body, at most."""


class CacheProxy:
    """Answers from the store what RFC 9111 allows; everything else is asked of the origin. Started and stopped by the
    server's lifespan.

    Args:
        origin: the server that is asked.
        settings: for the store, the cache and how long requests under way are waited for.
        own_host: ask for the origin's own name in ``Host``.
        heuristic, ttl: as ``HttpCacheMiddleware``.
        max_body: bytes of a body that is kept.
        clock: wall time.
    """

    def __init__(
        self,
        origin: Origin,
        settings: Settings,
        *,
        own_host: bool = False,
        heuristic: float = 0.0,
        ttl: Callable[[str], float | None] | None = None,
        max_body: int = 10 * 1024 * 1024,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._origin = origin
        self._drain = settings.http.drain
        room = settings.cache.model_copy(update={"max_value_bytes": max_body + HEAD})
        settings = settings.model_copy(update={"cache": room})
        self.store = open_store(settings, clock=clock)
        self.cache = Cache(self.store, settings=settings.cache, stamp_ttl=settings.freshness.stamp_ttl, clock=clock)
        gateway = Gateway(origin, own_host=own_host, clock=clock)
        http = settings.http
        self._layer = HttpCacheMiddleware(
            gateway,
            cache=self.cache,
            clock=clock,
            max_body=max_body,
            heuristic=heuristic,
            ttl=ttl,
            may_explain=lambda exchange: is_operator(exchange, http),
        )
        self._operation = Operation(self.cache, self._layer)
        self._app: ASGIApp = ProblemDetailsMiddleware(self._operation.before(self._layer, http))
        if settings.http.x_cache:
            self._app = XCacheMiddleware(self._app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = end_to_end_fields(scope["headers"])
            try:
                await self._app(scope, receive, send)
            finally:
                self._operation.count(exchange_of(scope))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        # A WebSocket is not passed on: returning without an answer refuses it.

    async def start(self) -> None:
        """Connect to the store; what is down does not keep the proxy from starting."""
        connect = getattr(self.store, "connect", None)
        if connect is not None and not await connect():
            _log.warning("the shared store is not reachable; passing everything on until it is")

    async def stop(self) -> None:
        """Let what is under way end, then close everything."""
        await self._layer.drain(self._drain)
        await self.cache.aclose()
        await self.store.aclose()
        await self._origin.aclose()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
