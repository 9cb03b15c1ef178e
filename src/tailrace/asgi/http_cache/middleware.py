"""The shared cache as a layer. Touches: the store, the clock, the application, background tasks.

A response is passed on as it comes, nothing of it held back, and stored when it is complete, before its end is sent:
the request right behind finds it. Of requests for the same target that come while a response is on its way that will be
stored, one goes to the application; the others wait for it. What the application or the store cannot do is never worse
than no cache: the request is passed on, or answered with what was stored where RFC 9111 or RFC 5861 allow it.

**Source:** RFC 9111; RFC 5861; RFC 9110; RFC 9211 (Cache-Status); RFC 9213; RFC 9875.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.explaining import EXPLAIN, MayExplain, nobody, send_explanation
from tailrace.asgi.http_cache.explanation import explanation_by_headers
from tailrace.asgi.http_cache.forwarding import FlightEnd, Forwarding
from tailrace.asgi.http_cache.leading import Leading
from tailrace.asgi.http_cache.parts import is_part
from tailrace.asgi.http_cache.requests import conditional, exchange_behind, no_body, target_of, to_nobody
from tailrace.asgi.http_cache.reuse import Reuse, asked_of, may_serve_on_error, reuse
from tailrace.asgi.http_cache.selection import answering, is_private, is_ranged, why_forwarded
from tailrace.asgi.http_cache.serving import serve
from tailrace.asgi.http_cache.shelf import Found, Shelf
from tailrace.asgi.http_cache.stored import StoredResponse
from tailrace.asgi.http_cache.storing import Guess
from tailrace.asgi.http_cache.update import conditions_for
from tailrace.asgi.http_cache.writing import write
from tailrace.asgi.problem_details import ErrorShape
from tailrace.asgi.sending import adding, send_timeout
from tailrace.asgi.types import ASGIApp, Receive, Scope, Send
from tailrace.asgi.uvicorn_writer import UvicornWriter
from tailrace.cache import Cache
from tailrace.clock import Clock, SystemClock
from tailrace.core.cache_control import CacheControl
from tailrace.errors import StoreUnavailableError

__all__ = ["HttpCacheMiddleware"]

_log = logging.getLogger("tailrace.asgi")

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
ORIGIN = "the origin's responses"
"""What all that the application answers counts as, together, where it is weighed what a slow store may take."""
FOR_THE_ORIGIN = frozenset({b"if-match", b"if-unmodified-since", b"transfer-encoding"})
"""Fields of requests that only the origin can judge, or that have a body of which nobody can say what it means."""


class HttpCacheMiddleware:
    """Answers from the store what RFC 9111 allows a shared cache to.

    Args:
        app: the application, or one that asks another server.
        cache: in whose store responses are kept.
        clock: wall time.
        max_body: bytes of a body that is kept; a longer one is passed on and not kept. The cache's ``max_value_bytes``
            bounds it too.
        heuristic: share of its age at arrival (since ``Last-Modified``) for which a response is taken for fresh that
            says nothing about it; 0: it is not stored.
        ttl: seconds in place of that, by path; None: not for this one.
        shape: how the 504 looks that ``only-if-cached`` may lead to; without one it has no body.
        may_explain: who is told what would be done with a request, and why, in place of an answer.
        one_write: where uvicorn serves this very layer, whole answers are written to its connections at once.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cache: Cache,
        clock: Clock | None = None,
        max_body: int = 10 * 1024 * 1024,
        heuristic: float = 0.0,
        ttl: Callable[[str], float | None] | None = None,
        shape: ErrorShape | None = None,
        may_explain: MayExplain = nobody,
        one_write: bool = True,
    ) -> None:
        self.app = app
        self._writer = UvicornWriter() if one_write else None
        self._may_explain = may_explain
        self._clock = clock or SystemClock()
        self._most = max_body
        self.use(cache)
        self._heuristic = heuristic
        self._ttl = ttl
        self._shape = shape
        self._flights: dict[tuple[str, str], asyncio.Future[FlightEnd]] = {}
        self._background: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        if exchange.kept_by_policy:  # whose freshness is the server's to say, not the response's
            await self.app(scope, receive, send)
            return
        method, headers = exchange.method, exchange.headers
        if method not in SAFE:
            await write(self.app, exchange, self.end, receive, send)
            return
        asked = asked_of(headers)
        has_body = headers.get(b"content-length", b"0") != b"0" or not FOR_THE_ORIGIN.isdisjoint(headers)
        if method not in ("GET", "HEAD") or asked.no_store or has_body:
            why = b"method" if method not in ("GET", "HEAD") else b"request" if asked.no_store else b"bypass"
            await self._pass(why, exchange, receive, send)
            return
        try:
            target = target_of(exchange)
            found = self._shelf.find_now(target, headers)
            if found is None:
                found = await self._shelf.find(target, headers) if self._worth.asking(ORIGIN) else None
        except StoreUnavailableError:
            found = None
        if found is None:
            if asked.only_if_cached:
                await send_timeout(self._shape, exchange, send)
            else:
                await self._pass(b"bypass", exchange, receive, send)
            return
        found = self._fit(found, exchange)
        if EXPLAIN in headers and self._may_explain(exchange):
            await send_explanation(explanation_by_headers(found, exchange, self._clock.now()), exchange, send)
            return
        await self._read(exchange, asked, found, receive, send)

    def around(self, app: ASGIApp) -> ASGIApp:
        """This layer, around another application than it was made with."""
        self.app = app
        return self

    def use(self, cache: Cache) -> None:
        """Keep responses in another cache from now on."""
        self._shelf = Shelf(cache)
        self._worth = cache.worth
        self._max_body = min(self._most, cache.settings.max_value_bytes)
        self._leading = Leading(cache, self._clock)

    async def end(self, targets: Sequence[str], groups: Sequence[str] = ()) -> None:
        """End the life of all that is stored for ``targets``, and of what is in ``groups`` of the first one's origin.

        Raises:
            StoreUnavailableError: the store is down or slow; what it holds may still be served.
        """
        await self._shelf.end(targets, groups)

    async def drain(self, seconds: float) -> None:
        """Wait ``seconds`` at most for validations behind answers, then end them."""
        tasks = tuple(self._background.values())
        if tasks and seconds > 0:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._leading.drain()
        await self._shelf.aclose()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read(self, exchange: Exchange, asked: CacheControl, found: Found, receive: Receive, send: Send) -> None:
        joins = exchange.method == "GET" and not is_private(exchange) and not asked.no_cache
        name = (found.target, exchange.method)
        collapsed, slow = False, 0
        while True:
            stored = answering(found, exchange)
            if stored is not None and await self._served(stored, exchange, asked, found, send, collapsed=collapsed):
                return
            if asked.only_if_cached:
                await send_timeout(self._shape, exchange, send)
                return
            if not self._worth.asking(ORIGIN):  # nobody waits for a slow store to take a response in
                await self._pass(b"bypass", exchange, receive, send)
                return
            flight = self._flight(name)
            if flight is None or collapsed or not joins or slow > 1 or await asyncio.shield(flight) == "passed":
                break
            collapsed = flight.result() == "stored"
            slow += flight.result() == "slow"
            with suppress(StoreUnavailableError):  # then what was found before has to do
                found = await self._find(found.target, exchange)
        if (
            not joins or self._flight(name) is not None or is_ranged(exchange)
        ):  # a part answers nobody who asks for the whole
            await self._forward(exchange, asked, found, stored, None, receive, send)
            return
        mine = self._flights[name] = asyncio.get_running_loop().create_future()
        try:
            await self._lead(exchange, asked, found, stored, mine, receive, send)
        finally:
            if self._flights.get(name) is mine:
                del self._flights[name]
            if not mine.done():
                mine.set_result("lost")

    def _flight(self, name: tuple[str, str]) -> asyncio.Future[FlightEnd] | None:
        """What there is to wait for: a response on its way, unless its client is slow to take it."""
        flight = self._flights.get(name)
        return None if flight is not None and flight.done() and flight.result() == "slow" else flight

    async def _lead(
        self,
        exchange: Exchange,
        asked: CacheControl,
        found: Found,
        stored: StoredResponse | None,
        flight: asyncio.Future[FlightEnd],
        receive: Receive,
        send: Send,
    ) -> None:
        """Ask the application for all who wait in this process, unless another process has just done so."""
        theirs: list[tuple[StoredResponse, Found]] = []

        async def there() -> bool:
            again = await self._find(found.target, exchange)
            other = answering(again, exchange)
            if other is None or reuse(other.held(self._clock.now()), asked) == "validate":
                return False
            theirs.append((other, again))
            return True

        await self._leading.lead_or_wait(found, flight, there)
        for other, again in theirs:  # one at most
            if await self._served(other, exchange, asked, again, send, collapsed=True):
                flight.set_result("stored")
                return
        await self._forward(exchange, asked, found, stored, flight, receive, send)

    async def _served(
        self,
        stored: StoredResponse,
        exchange: Exchange,
        asked: CacheControl,
        found: Found,
        send: Send,
        *,
        collapsed: bool,
    ) -> bool:
        """Serve ``stored`` if it may be as it is."""
        now = self._clock.now()
        held = stored.held(now)
        use: Reuse = reuse(held, asked)
        if use == "validate":
            return False
        if use == "revalidating":
            self._validate_behind(exchange, found, stored)
        status = b"tailrace; fwd=uri-miss; collapsed" if collapsed else b"tailrace; hit; ttl=%d" % held.left
        await self._serve(stored, exchange, send, status)
        return True

    async def _forward(
        self,
        exchange: Exchange,
        asked: CacheControl,
        found: Found,
        stored: StoredResponse | None,
        flight: asyncio.Future[FlightEnd] | None,
        receive: Receive,
        send: Send,
    ) -> None:
        """Ask the application, for the response or for whether ``stored`` still is it."""
        conditions = [] if stored is None else conditions_for(found.responses, self._clock.now())
        held = None if stored is None else stored.held(self._clock.now())
        forwarding = Forwarding(
            exchange,
            found,
            stored if conditions else None,
            shelf=self._shelf,
            clock=self._clock,
            max_body=self._max_body,
            guess=Guess(self._heuristic, None if self._ttl is None else self._ttl(exchange.path)),
            why=why_forwarded(found, stored, asked),
            survives=lambda unreachable: held is not None and may_serve_on_error(held, asked, unreachable=unreachable),
            flight=flight,
            send=send,
        )
        part = stored is not None and is_part(stored)
        scope = exchange.scope if not conditions else conditional(exchange, conditions, ranged=part)
        try:
            await self.app(scope, receive, forwarding.receive_from_app)
        except Exception as error:
            if stored is None or not forwarding.may_stand_in(error):
                raise
            await self._serve(stored, exchange, send, b"tailrace; hit; fwd=stale; detail=origin-failed")
            return
        if forwarding.outcome == "passed":
            self._worth.observe(ORIGIN, forwarding.waited)
        elif forwarding.outcome == "confirmed":
            fresh = await forwarding.confirm()
            if fresh is None:  # confirmed was something that is not held: ask for all of it
                await self._forward(exchange, asked, replace(found, responses=()), None, flight, receive, send)
                return
            await self._serve(fresh, exchange, send, b"tailrace; fwd=stale; fwd-status=304", validated=True)
        elif forwarding.outcome == "failed":
            assert stored is not None
            detail = b"tailrace; hit; fwd=stale; fwd-status=%d" % forwarding.status
            await self._serve(stored, exchange, send, detail)

    def _fit(self, found: Found, exchange: Exchange) -> Found:
        return found.for_request(is_ranged(exchange), exchange.headers, self._clock.now())

    async def _find(self, target: str, exchange: Exchange) -> Found:
        return self._fit(await self._shelf.find(target, exchange.headers), exchange)

    async def _serve(
        self, stored: StoredResponse, exchange: Exchange, send: Send, status: bytes, *, validated: bool = False
    ) -> None:
        now, writer = self._clock.now(), self._writer
        await serve(stored, exchange, send, now=now, status=status, validated=validated, writer=writer)

    def _validate_behind(self, exchange: Exchange, found: Found, stored: StoredResponse) -> None:
        """Validate once, however many are served meanwhile (RFC 5861 section 3)."""
        if found.target in self._background:
            return
        behind = exchange_behind(exchange)

        async def validate() -> None:
            try:
                await self._forward(behind, CacheControl(), found, stored, None, no_body(), to_nobody)
            except Exception:
                _log.warning("a validation behind an answer failed", exc_info=True)
            finally:
                behind.part()
                del self._background[found.target]

        self._background[found.target] = asyncio.create_task(validate(), name="tailrace validation")

    # --- passing on --------------------------------------------------------------------------------------------------

    async def _pass(self, why: bytes, exchange: Exchange, receive: Receive, send: Send) -> None:
        exchange.cache = "bypass"
        await self.app(exchange.scope, receive, adding(send, b"tailrace; fwd=" + why))
