"""Response cache: a hit is answered before the framework is entered. Touches: the cache, the clock handed in.

What is kept, for how long and for whom is the route's to say (``RoutePolicy``); within that, the directives of requests
and responses are obeyed. Freshness, single flight and stale answers are the cache room's (``tailrace.cache``), so they
hold here as everywhere. Safe methods only; whatever else comes in passes through untouched.

A response belongs to one identity unless its route is shared. Responses that set cookies are never kept.

**Source:** RFC 9111; RFC 5861; RFC 9110 sections 9.3.2 (HEAD) and 13 (conditional requests); RFC 9211 (Cache-Status).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable

from tailrace.asgi.cache_key import vary_digest
from tailrace.asgi.cached_request import CachedRequest
from tailrace.asgi.compression import Encodes
from tailrace.asgi.compressor import Compressor
from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.explaining import EXPLAIN, MayExplain, explanation_by_policy, nobody, send_explanation
from tailrace.asgi.prepared import Prepared, PreparedRequests
from tailrace.asgi.problem_details import ErrorShape
from tailrace.asgi.recording import ResponseFailed
from tailrace.asgi.route_policy import Resolved, RoutePolicy
from tailrace.asgi.sending import adding, send_failed, send_stored, send_timeout, without_body
from tailrace.asgi.stored_response import StoredHead
from tailrace.asgi.storing import refuses_stored
from tailrace.asgi.types import ASGIApp, Receive, Scope, Send
from tailrace.asgi.variants import Variants
from tailrace.cache import Answer, Cache
from tailrace.clock import Clock, SystemClock
from tailrace.core.cache_control import CacheControl, parse_cache_control

__all__ = ["ResponseCacheMiddleware", "by_path"]

SKIP = 1.0
"""Seconds for which requests go straight to the application after a response that was not kept."""

CONDITIONAL_WRITES = frozenset({b"if-match", b"if-unmodified-since"})
NOTHING_ASKED = CacheControl()


def by_path(policies: dict[str, RoutePolicy]) -> Callable[[Scope], Resolved | None]:
    """A resolver for exact paths, without ``root_path``: enough where no router tells."""
    routes = {path: Resolved(path, policy) for path, policy in policies.items()}

    def resolve(scope: Scope) -> Resolved | None:
        path: str = scope["path"]
        return routes.get(path.removeprefix(scope.get("root_path", "")))

    return resolve


class ResponseCacheMiddleware:
    """Answers from the cache what its routes allow.

    Args:
        app: the application.
        cache: keeps the responses.
        resolve: the route of a request, None when it has none that is cached; called for each GET and HEAD.
        max_body: bytes of a body that is kept, where a policy does not say.
        clock: wall time and monotonic time.
        shape: how the 504 looks that ``only-if-cached`` may lead to; without one it has no body.
        encodes: compresses what is kept and what is passed on; None: nothing is compressed here.
        may_explain: who is told what would be done with a request, and why, in place of an answer.

    Cost of a hit that this process holds: about 10 microseconds, no waiting; ``HitPath`` before the layers spares most
    requests even that.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cache: Cache,
        resolve: Callable[[Scope], Resolved | None],
        max_body: int = 1024 * 1024,
        clock: Clock | None = None,
        shape: ErrorShape | None = None,
        encodes: Encodes | None = None,
        may_explain: MayExplain = nobody,
    ) -> None:
        self.app = app
        self._may_explain = may_explain
        self._shape = shape
        self.requests = PreparedRequests(cache)
        self.variants = Variants(encodes or Encodes(Compressor(codecs={})), cache)
        self._cache = cache
        self._resolve = resolve
        self._max_body = max_body
        self._clock = clock or SystemClock()
        self._encodes = encodes
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        resolved = self._resolve(scope)
        if resolved is None or resolved.policy is None:
            await self.app(scope, receive, send)
            return
        exchange = exchange_of(scope)
        exchange.kept_by_policy = True
        exchange.route = resolved.template
        exchange.path_params = resolved.path_params
        identity: str | None = None
        if resolved.policy.identity is not None:
            found = exchange.take_identified(resolved.policy)
            identity = await found if isawaitable(found) else found
            exchange.identity = identity
        headers = exchange.headers
        asked = parse_cache_control(headers[b"cache-control"]) if b"cache-control" in headers else NOTHING_ASKED
        refused = self._passes_by(resolved.policy, identity, asked, headers)
        if EXPLAIN in headers and self._may_explain(exchange):
            prepared = self.requests.prepare(exchange, resolved, identity)
            explained = await prepared.lookup.explain()
            await send_explanation(
                explanation_by_policy(prepared, explained, exchange, passes_by=refused), exchange, send
            )
            return
        if refused is not None:
            await self._pass(refused, scope, receive, send)
            return
        await self._answer(exchange, resolved, identity, asked, receive, send)

    async def _answer(
        self,
        exchange: Exchange,
        resolved: Resolved,
        identity: str | None,
        asked: CacheControl,
        receive: Receive,
        send: Send,
    ) -> None:
        scope = exchange.scope
        prepared = self.requests.prepare(exchange, resolved, identity)
        answer = None
        if exchange.missed is not prepared:
            lookup = prepared.lookup
            answer = self._cache.peek(lookup.key, policy=lookup.policy, depends_on=lookup.tags)
        if answer is not None and asked is NOTHING_ASKED:
            head = prepared.head_of(answer.value)
            if head is not None and not head.vary:
                await self._send_stored(head, answer, exchange, prepared, receive, send)
                return
        if asked.only_if_cached and answer is None:
            await send_timeout(self._shape, exchange, send)
        elif self._clock.monotonic() < prepared.skip_until:
            await self._pass("uri-miss", scope, receive, send)
        else:
            await self._read_through(exchange, resolved, prepared, asked, identity, receive, send)

    async def _read_through(
        self,
        exchange: Exchange,
        resolved: Resolved,
        prepared: Prepared,
        asked: CacheControl,
        identity: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        assert resolved.policy is not None
        request = CachedRequest(
            self.app,
            exchange,
            resolved,
            receive,
            known_vary=self.requests.vary(resolved),
            max_body=resolved.policy.max_body or self._max_body,
            clock=self._clock,
            tasks=self._tasks,
            encodes=self._encodes,
        )
        try:
            lookup = prepared.lookup
            answer = await self._cache.read_through(
                lookup.key, request.compute, policy=lookup.policy, depends_on=lookup.tags
            )
            if request.extra_vary:
                self.requests.learn(resolved, request.extra_vary)
            if request.passing is not None:
                prepared.skip_until = self._clock.monotonic() + SKIP
                exchange.cache = "miss"
                client = request.encoding(without_body(exchange, send))
                await request.passing.pass_on(adding(client, b"tailrace; fwd=uri-miss"))
                return
            await self._send_answer(exchange, resolved, prepared, answer, asked, identity, receive, send)
        except ResponseFailed as failed:
            exchange.cache = "miss"
            await send_failed(failed, own=request.ran, exchange=exchange, send=send)
        finally:
            request.close()

    async def _send_answer(
        self,
        exchange: Exchange,
        resolved: Resolved,
        prepared: Prepared,
        answer: Answer,
        asked: CacheControl,
        identity: str | None,
        receive: Receive,
        send: Send,
    ) -> None:
        head = prepared.head_of(answer.value)
        if head is None:
            # What the store gave is no response of ours.
            await self._pass("bypass", exchange.scope, receive, send)
        elif head.vary and vary_digest(exchange.headers, head.vary) != head.vary_digest:
            # Made for a request that sent other values in fields that nobody had told of before.
            self.requests.learn(resolved, head.vary)
            await self._answer(exchange, resolved, identity, asked, receive, send)
        elif answer.status == "stale" and head.never_stale:
            await self._pass("stale", exchange.scope, receive, send)
        elif (
            resolved.policy is not None
            and resolved.policy.request_directives
            and answer.status in ("hit", "stale")
            and refuses_stored(asked, answer.age, answer.expires_in)
        ):
            await self._pass("request", exchange.scope, receive, send)
        else:
            await self._send_stored(head, answer, exchange, prepared, receive, send)

    async def _send_stored(
        self,
        head: StoredHead,
        answer: Answer,
        exchange: Exchange,
        prepared: Prepared,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send what the cache gave, in the coding that the client wants."""
        accept = exchange.headers.get(b"accept-encoding")
        if head.unfinished:
            body = answer.value[len(answer.value) - head.length :]
            if prepared.finish is not None:
                body = prepared.finish(body, answer)
            await send_stored(*await self.variants.finished(head, body, accept), answer, exchange, send)
            return
        found = await self.variants.of(head, answer.value, accept, prepared.resolved.cache_policy.retention)
        if found is None:
            await self._pass("bypass", exchange.scope, receive, send)
        else:
            head, data = found
            await send_stored(head, data[len(data) - head.length :], answer, exchange, send)

    def _passes_by(
        self, policy: RoutePolicy, identity: str | None, asked: CacheControl, headers: dict[bytes, bytes]
    ) -> str | None:
        """Why the request does not concern the cache at all, as a word of ``Cache-Status``; None if it does."""
        if identity is None and policy.identity is not None:
            return "bypass"
        if asked.no_store or (asked.no_cache and policy.request_directives):
            return "request"
        if b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0":
            return "bypass"
        return "bypass" if not CONDITIONAL_WRITES.isdisjoint(headers) else None

    async def _pass(self, why: str, scope: Scope, receive: Receive, send: Send) -> None:
        exchange_of(scope).cache = "bypass"
        await self.app(scope, receive, adding(send, b"tailrace; fwd=" + why.encode("ascii")))

    def around(self, app: ASGIApp) -> ASGIApp:
        """This layer, around another application than it was made with."""
        self.app = app
        return self

    def use(self, cache: Cache) -> None:
        """Keep responses in another cache from now on."""
        self._cache = cache
        self.requests.use(cache)
        self.variants.use(cache)

    async def drain(self, seconds: float) -> None:
        """Wait ``seconds`` at most for computations under way, then end them."""
        if self._tasks and seconds > 0:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
