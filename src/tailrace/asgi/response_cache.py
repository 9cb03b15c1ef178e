"""Response cache: a hit is answered before the framework is entered. Touches: the cache, the clock handed in.

What is kept, for how long and for whom is the route's to say (``RoutePolicy``); within that, the directives of requests
and responses are obeyed. Freshness, single flight and stale answers are the cache room's (``tailrace.cache``), so they
hold here as everywhere. Safe methods only; whatever else comes in passes through untouched.

A response belongs to one identity unless its route is shared. Responses that set cookies are never kept.

**Source:** RFC 9111; RFC 5861; RFC 9110 sections 9.3.2 (HEAD) and 13 (conditional requests); RFC 9211 (Cache-Status).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable

from tailrace.asgi.cache_key import parsed_query, response_key, sorted_query, vary_digest
from tailrace.asgi.cached_request import CachedRequest, Prepared
from tailrace.asgi.exchange import Exchange, exchange_of
from tailrace.asgi.recording import ResponseFailed
from tailrace.asgi.route_policy import Resolved, RoutePolicy
from tailrace.asgi.stored_response import NOT_STORED, StoredHead
from tailrace.asgi.storing import not_modified, refuses_stored
from tailrace.asgi.types import ASGIApp, Message, Receive, Scope, Send
from tailrace.cache import Answer, Cache
from tailrace.clock import Clock, SystemClock
from tailrace.core.cache_control import CacheControl, parse_cache_control

__all__ = ["ResponseCacheMiddleware", "by_path"]

PREPARED = 4096
"""Most requests whose keys and tags are remembered."""

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

    Cost of a hit that this process holds: 5-10 microseconds, no waiting.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        cache: Cache,
        resolve: Callable[[Scope], Resolved | None],
        max_body: int = 1024 * 1024,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self.cache = cache
        self._resolve = resolve
        self._max_body = max_body
        self._clock = clock or SystemClock()
        self._prepared: dict[tuple[object, ...], Prepared] = {}
        self._learned_vary: dict[str, tuple[bytes, ...]] = {}
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
        exchange.route = resolved.template
        exchange.path_params = resolved.path_params
        identity: str | None = None
        if resolved.policy.identity is not None:
            found = resolved.policy.identity(exchange)
            identity = await found if isawaitable(found) else found
            exchange.identity = identity
        headers = exchange.headers
        asked = parse_cache_control(headers[b"cache-control"]) if b"cache-control" in headers else NOTHING_ASKED
        refused = self._passes_by(resolved.policy, identity, asked, headers)
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
        prepared = self._prepare(exchange, resolved, identity)
        answer = self.cache.peek(prepared.key, policy=resolved.cache_policy, depends_on=prepared.depends_on)
        if answer is not None and asked is NOTHING_ASKED:
            head = prepared.head_of(answer.value)
            if head is not None and not head.vary:
                await self._send_stored(head, answer, b"hit", exchange, send)
                return
        if asked.only_if_cached and answer is None:
            await _send_timeout(send)
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
            known_vary=self._vary(resolved),
            max_body=resolved.policy.max_body or self._max_body,
            clock=self._clock,
            tasks=self._tasks,
        )
        try:
            answer = await self.cache.read_through(
                prepared.key, request.compute, policy=resolved.cache_policy, depends_on=prepared.depends_on
            )
            if request.extra_vary:
                self._learn(resolved, request.extra_vary)
            if request.passing is not None:
                prepared.skip_until = self._clock.monotonic() + SKIP
                exchange.cache = "miss"
                await request.passing.pass_on(_adding(_without_body(exchange, send), b"tailrace; fwd=uri-miss"))
                return
            await self._send_answer(exchange, resolved, prepared, answer, asked, identity, receive, send)
        except ResponseFailed as failed:
            exchange.cache = "miss"
            await _send_failed(failed, own=request.ran, exchange=exchange, send=send)
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
            self._learn(resolved, head.vary)
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
            await self._send_stored(head, answer, answer.status.encode("ascii"), exchange, send)

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
        await self.app(scope, receive, _adding(send, b"tailrace; fwd=" + why.encode("ascii")))

    async def drain(self, seconds: float) -> None:
        """Wait ``seconds`` at most for computations under way, then end them."""
        if self._tasks and seconds > 0:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- keys --------------------------------------------------------------------------------------------------------

    def _prepare(self, exchange: Exchange, resolved: Resolved, identity: str | None) -> Prepared:
        scope, headers = exchange.scope, exchange.headers
        names = self._vary(resolved)
        vary = tuple([headers.get(name) for name in names]) if names else ()
        host = headers.get(b"host", b"")
        request = (scope["path"], scope["query_string"], identity, host, scope.get("scheme"), exchange.root_path, vary)
        known = self._prepared.get(request)
        if known is not None and known.resolved is resolved and known.names is names:
            return known
        policy = resolved.policy
        assert policy is not None
        owner = None if policy.shared else identity
        digest = (vary_digest(headers, names),) if names else ()
        key = response_key(scope, sorted_query(scope["query_string"], policy.query), host, owner, digest)
        tags = policy.depends_on
        if callable(tags):
            tags = tuple(tags(owner, resolved.path_params, parsed_query(scope["query_string"])))
        if len(self._prepared) >= PREPARED:
            self._prepared.clear()
        prepared = self._prepared[request] = Prepared(key, tuple(tags), resolved, names)
        return prepared

    def _vary(self, resolved: Resolved) -> tuple[bytes, ...]:
        return self._learned_vary.get(resolved.template, resolved.vary)

    def _learn(self, resolved: Resolved, names: tuple[bytes, ...]) -> None:
        """From now on ``names`` are in the route's keys. Bounded: by routes, and by the names one response may have."""
        known = self._vary(resolved)
        self._learned_vary[resolved.template] = tuple(sorted({*known, *names}))

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _send_stored(
        self, head: StoredHead, answer: Answer, status: bytes, exchange: Exchange, send: Send
    ) -> None:
        exchange.cache = answer.status
        headers = exchange.headers
        unchanged = (b"if-none-match" in headers or b"if-modified-since" in headers) and not_modified(
            headers, head.etag, head.last_modified
        )
        fields = [
            *(head.not_modified if unchanged else head.headers),
            (b"age", b"%d" % answer.age),
            (b"cache-status", _cache_status(answer)),
        ]
        start = {"type": "http.response.start", "status": 304 if unchanged else head.status, "headers": fields}
        await send(start)
        body = b"" if unchanged or exchange.method == "HEAD" else answer.value[len(answer.value) - head.length :]
        await send({"type": "http.response.body", "body": body})


def _cache_status(answer: Answer) -> bytes:
    if answer.status in ("hit", "stale"):
        return b"tailrace; hit; ttl=%d" % (answer.ttl - answer.age)
    if answer.status == "miss":
        return b"tailrace; fwd=uri-miss; stored"
    return b"tailrace; fwd=uri-miss; collapsed" if answer.status == "collapsed" else b"tailrace; fwd=bypass"


def _adding(send: Send, cache_status: bytes) -> Send:
    def send_with_status(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"cache-status", cache_status)]}
        return send(message)

    return send_with_status


def _without_body(exchange: Exchange, send: Send) -> Send:
    """``send`` for a client that asked with HEAD what the application was asked with GET."""
    if exchange.method != "HEAD":
        return send

    def send_head(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        return send(message)

    return send_head


async def _send_failed(failed: ResponseFailed, *, own: bool, exchange: Exchange, send: Send) -> None:
    """Send the application's 5xx; to others than the one it was made for, without what was meant for that one."""
    headers = failed.headers if own else [header for header in failed.headers if header[0].lower() not in NOT_STORED]
    if not own and failed.status not in (204, 304):
        headers = [*headers, (b"content-length", b"%d" % len(failed.body))]
    start = {"type": "http.response.start", "status": failed.status, "headers": headers}
    await _adding(send, b"tailrace; fwd=uri-miss")(start)
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else failed.body})
    if own and failed.error is not None:
        raise failed.error


async def _send_timeout(send: Send) -> None:
    """504 to ``only-if-cached`` (RFC 9111 section 5.2.1.7)."""
    headers = [(b"content-length", b"0"), (b"cache-status", b"tailrace; fwd=miss; detail=only-if-cached")]
    await send({"type": "http.response.start", "status": 504, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
