"""One request to a cached route: how its response is computed.

Touches: asyncio tasks. The computation is shared by all who wait for it, so it belongs to no client: it has a scope of
its own, no deadline, no condition and no range, and goes on when the client that began it leaves.
"""

from __future__ import annotations

import asyncio

from tailrace.asgi.cache_key import vary_digest
from tailrace.asgi.compression import EncodedResponse, Encodes
from tailrace.asgi.content_encoding import opted_out, with_vary, without_encoding
from tailrace.asgi.exchange import EXCHANGE, Exchange, current_exchange
from tailrace.asgi.headers import read_headers
from tailrace.asgi.recording import Recording, ResponseFailed
from tailrace.asgi.route_policy import Resolved
from tailrace.asgi.stored_response import Coded, content_digest, encode_response
from tailrace.asgi.storing import Keep, decide_keeping
from tailrace.asgi.types import ASGIApp, Header, Receive, Scope, Send
from tailrace.cache import Computed, Uncacheable
from tailrace.clock import Clock
from tailrace.core.content_negotiation import IDENTITY
from tailrace.resilience.deadline import current_deadline

__all__ = ["CachedRequest"]

CLIENTS_OWN = frozenset({b"if-none-match", b"if-modified-since", b"if-range", b"range"})
"""Request fields that make a response of which only this client has use."""


class CachedRequest:
    """Computes the response to one request, when the cache asks for it.

    Attributes:
        ran: the application was run for this very request.
        passing: the run whose response is not kept but passed on to this request's client.
        extra_vary: what the response's ``Vary`` names beyond what the key holds.
    """

    def __init__(
        self,
        app: ASGIApp,
        exchange: Exchange,
        resolved: Resolved,
        receive: Receive,
        *,
        known_vary: tuple[bytes, ...],
        max_body: int,
        clock: Clock,
        tasks: set[asyncio.Task[None]],
        encodes: Encodes | None = None,
    ) -> None:
        self._app = app
        self._exchange = exchange
        self._resolved = resolved
        self._receive = receive
        self._known_vary = known_vary
        self._max_body = max_body
        self._clock = clock
        self._tasks = tasks
        self._encodes = encodes
        self._scope: Scope = exchange.scope
        self._closed = False
        self.ran = False
        self.passing: Recording | None = None
        self.extra_vary: tuple[bytes, ...] = ()

    async def compute(self) -> bytes | Computed | Uncacheable:
        """Run the application once.

        Raises:
            ResponseFailed: it answered 5xx.
            Exception: what it raised.
        """
        scope = self._scope = self._inner_scope()
        current_exchange.set(scope[EXCHANGE])
        current_deadline.set(None)
        recording = Recording(
            self._app,
            scope,
            self._receive,
            decide=self._decide,
            max_body=self._max_body,
            tasks=self._tasks,
        )
        self.ran = True
        await recording.run()
        if recording.passing:
            self.passing = recording
            if self._closed:
                recording.abandon()
            return Uncacheable(b"")
        keep = recording.verdict
        assert isinstance(keep, Keep)
        value = await self._encode(recording, keep)
        if value is None:
            raise ResponseFailed(recording.status, recording.headers, recording.body, None)
        return value if keep.ttl is None else Computed(value, keep.ttl)

    def close(self) -> None:
        """The client has its answer: whatever is computed from now on is for the store alone."""
        self._closed = True
        if self.passing is not None:
            self.passing.abandon()

    def _decide(self, status: int, headers: dict[bytes, bytes]) -> Keep | str:
        assert self._resolved.policy is not None
        return decide_keeping(self._resolved.policy, status, headers, self._exchange.headers, self._clock.now())

    async def _encode(self, recording: Recording, keep: Keep) -> bytes | None:
        policy = self._resolved.policy
        assert policy is not None
        headers = recording.headers
        if b"cache-control" not in read_headers([(name.lower(), value) for name, value in headers]):
            own = b"" if policy.shared else b"private, "
            headers.append((b"cache-control", own + policy.cache_control.encode("latin-1")))
        extra = tuple([name for name in keep.vary if name not in self._known_vary])
        self.extra_vary = extra
        headers, body, coded = await self._shrink(recording.status, headers, recording.body)
        return encode_response(
            recording.status,
            headers,
            body,
            never_stale=keep.never_stale,
            unfinished=policy.finish is not None,
            vary=extra,
            digest=vary_digest(self._exchange.headers, extra),
            coded=coded,
        )

    async def _shrink(
        self, status: int, headers: list[Header], body: bytes
    ) -> tuple[list[Header], bytes, Coded | None]:
        """The body in the coding that this request wants, which is how it is stored."""
        if self._encodes is None:
            return headers, body, None
        headers = [(name.lower(), value) for name, value in headers]
        fields = read_headers(headers)
        if opted_out(fields):
            return without_encoding(headers), body, None
        if not self._encodes.concerns(status, fields, self._scope):
            return headers, body, None
        if self._resolved.policy is not None and self._resolved.policy.finish is not None:
            return with_vary(headers), body, Coded(IDENTITY, len(body), b"")  # what is sent is made of it each time
        encoding, encoded = await self._encodes.shrink(body, self._exchange.headers.get(b"accept-encoding"))
        told = self._encodes.compressor.settings.report
        return with_vary(headers), encoded, Coded(encoding, len(body), content_digest(body), told)

    def encoding(self, send: Send) -> Send:
        """``send`` for a response that is passed on: nobody further in has encoded it."""
        if self._encodes is None:
            return send
        return EncodedResponse(self._encodes, self._scope, self._exchange.headers, send).send

    def _inner_scope(self) -> Scope:
        scope = dict(self._exchange.scope)
        scope["method"] = "GET"
        if not CLIENTS_OWN.isdisjoint(self._exchange.headers):
            scope["headers"] = [header for header in scope["headers"] if header[0] not in CLIENTS_OWN]
        if "state" in scope:
            scope["state"] = dict(scope["state"])
        # The application must send its body in messages that can be recorded.
        extensions = scope.get("extensions") or {}
        scope["extensions"] = {name: value for name, value in extensions.items() if name == "tls"}
        inner = scope[EXCHANGE] = Exchange(scope)
        inner.request_id = self._exchange.request_id
        inner.begun = self._exchange.begun
        inner.route = self._exchange.route
        inner.version = self._exchange.version
        inner.identity = self._exchange.identity
        inner.phases = self._exchange.phases
        inner.kept_by_policy = True
        inner.encoded_outside = self._encodes is not None
        return scope
