"""A call whose answer is read while it arrives, under the policies of any other. Touches: sockets, the clock given.

Until the first byte of its body is there, an answer is like any other: late, refused or broken, it may be asked for
again. After that the reader has seen a part of it, so what happens to the rest is the reader's to know.

**Source:** RFC 9112 section 8 (incomplete messages).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tailrace.core.retry_after import parse_retry_after
from tailrace.errors import GatewayError, UpstreamError, UpstreamUnavailableError
from tailrace.events import UpstreamCalled
from tailrace.extras import require
from tailrace.resilience.circuit_breaker import Admitted
from tailrace.resilience.timeout import with_timeout
from tailrace.upstream.classify import classify, error_for, outcome_of
from tailrace.upstream.http1 import encode_head
from tailrace.upstream.message import OutgoingRequest, merge_headers
from tailrace.upstream.origin import SURELY_OPEN, PassedRequest, PassedResponse
from tailrace.upstream.policies import Policies
from tailrace.upstream.pool import Pool
from tailrace.upstream.stream import StreamReader
from tailrace.upstream.stream_connection import StreamConnection

__all__ = ["ResponseStream", "StreamCall"]

T = TypeVar("T")


class StreamCall:
    """One call on its way through the policies.

    Args:
        prepare: gives the request of an attempt.
        deadline: of the clock's monotonic seconds, for the last byte.
    """

    def __init__(
        self,
        policies: Policies,
        pool: Pool[StreamConnection],
        prepare: Callable[[], OutgoingRequest],
        deadline: float,
    ) -> None:
        self._policies = policies
        self._pool = pool
        self._prepare = prepare
        self._deadline = deadline
        self._began = policies.clock.monotonic()
        self._attempts = 0
        self._opened: ResponseStream | None = None
        self._failure: BaseException | None = None

    async def open(self) -> ResponseStream:
        """The response, once the first byte of its body is there, or its end."""
        policies = self._policies
        retryable = policies.retryable(self._prepare())
        try:
            self._opened = await policies.retry.call(self._attempt, retryable=retryable, deadline=self._deadline)
        except BaseException as error:
            self._failure = error
            raise
        return self._opened

    def close(self) -> None:
        """The reader is done, with all of it or not."""
        failure = self._failure
        if self._opened is not None:
            self._opened.end(_Left())
            failure = self._opened.failure
        policies = self._policies
        if policies.observer is not None:
            duration = policies.clock.monotonic() - self._began
            policies.observer(UpstreamCalled(policies.name, outcome_of(failure), duration, self._attempts))

    async def _attempt(self) -> ResponseStream:
        policies = self._policies
        policies.breaker.check()
        await policies.bulkhead.enter(wait=self._deadline - policies.clock.monotonic())
        try:
            admitted = policies.breaker.admit()
        except BaseException:
            policies.bulkhead.leave()
            raise
        self._attempts += 1
        stream = ResponseStream(policies, self._pool, admitted, self._deadline)
        try:
            await stream.begin(self._prepare())
        except BaseException as error:
            stream.end(error)
            raise
        return stream


class ResponseStream:
    """A response under way: an asynchronous iterator over the pieces of its body, for one reader.

    Attributes:
        status: 2xx.
        headers: names are lower case; repeated ones are joined with commas.
        failure: what ended it before its end.

    Raises, while it is read:
        UpstreamTimeoutError: silence for longer than an attempt may take, or the time of the call is up.
        UpstreamUnavailableError: it broke off.
        UpstreamError: it is larger than the settings allow.
    """

    def __init__(self, policies: Policies, pool: Pool[StreamConnection], admitted: Admitted, deadline: float) -> None:
        self._policies = policies
        self._pool = pool
        self._admitted = admitted
        self._deadline = deadline
        self._began = policies.clock.monotonic()
        self._first_after: float | None = None
        self._response: PassedResponse | None = None
        self._first = b""
        self._received = 0
        self._ended = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.failure: BaseException | None = None

    async def begin(self, request: OutgoingRequest) -> None:
        """Send the request and wait for the first byte of the answer's body; raises as the client's ``stream``."""
        await self._in_time(lambda: self._begin(request))
        self._first_after = self._policies.clock.monotonic() - self._began

    def end(self, failure: BaseException | None) -> None:
        """Let go of all that it holds. Idempotent: what ended it first counts."""
        if self._ended:
            return
        self._ended = True
        self.failure = failure
        connection = None if self._response is None else self._response.leave()
        if connection is not None:
            self._pool.give_back(connection)
        self._admitted.ended(failure, self._first_after)
        self._policies.bulkhead.leave()

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        piece, self._first = self._first, b""
        if not piece and not self._ended:
            try:
                piece = await self._in_time(self._next)
            except Exception as error:
                self.end(error)
                raise
        if not piece:
            if self.failure is not None:
                raise UpstreamError(f"{self._policies.name}: the answer has ended") from self.failure
            raise StopAsyncIteration
        return piece

    async def _begin(self, request: OutgoingRequest) -> None:
        name = self._policies.name
        try:
            head = encode_head(request.method, request.target, [(b"host", self._pool.host_header)], request.headers)
        except ValueError as error:
            raise UpstreamError(f"{name}: the request has a header or target that cannot be sent") from error
        connection = self._pool.take(SURELY_OPEN) or await self._pool.connect()
        reader = StreamReader(require("httptools", "upstream"), method=request.method)
        passed = PassedRequest(request.method, request.target, request.headers)
        # The client keeps the time, by its own clock.
        response = PassedResponse(connection, reader, passed, chunked=False, timeout=None)
        self._response = response
        await response.begin(head + request.body)
        self.status, self.headers = response.status, merge_headers(response.headers)
        if classify(self.status) != "ok":
            retry_after = parse_retry_after(self.headers.get("retry-after"), self._policies.clock.now())
            raise error_for(name, self.status, retry_after, self.headers.get("location"))
        if self.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UpstreamError(f"{name}: answered in a content coding that was not asked for")
        self._first = await self._next()

    async def _next(self) -> bytes:
        """The next piece; empty at the end."""
        assert self._response is not None
        piece = await anext(self._response, b"")
        self._received += len(piece)
        most = self._policies.settings.max_response_bytes
        if self._received > most:
            raise UpstreamError(f"{self._policies.name}: answered more than {most} bytes")
        if not piece:
            self.end(None)
        return piece

    async def _in_time(self, step: Callable[[], Awaitable[T]]) -> T:
        policies = self._policies
        seconds = min(policies.settings.attempt_timeout, self._deadline - policies.clock.monotonic())
        try:
            return await with_timeout(step, seconds, clock=policies.clock, what=policies.name)
        except GatewayError as error:
            raise UpstreamUnavailableError(f"{policies.name}: the connection or its answer broke") from error


class _Left(BaseException):
    """The reader left before the end, which says nothing of who answered."""
