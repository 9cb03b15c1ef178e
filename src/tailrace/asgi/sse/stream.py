"""A response of server-sent events. Touches: the client's connection, tasks of its own, the clock handed in.

Events are taken one at a time, each when the one before has been sent, so a slow client slows down the work and nothing
piles up. Meanwhile somebody listens for the client: when it leaves, the work is cancelled at once, wherever it stands.

**Source:** WHATWG HTML, "Server-sent events"; RFC 9111 sections 5.2.2.5 (no-store) and 5.2.2.6 (no-transform); nginx,
``X-Accel-Buffering``; ASGI 2.4, "Disconnected client".
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.problem_details import problem_of, rfc9457
from tailrace.asgi.sse.event import KEEP_ALIVE, ServerSentEvent, retry_field
from tailrace.asgi.types import Header, Receive, Scope, Send
from tailrace.clock import Clock, SystemClock
from tailrace.events import Observer, StreamEnded, StreamOpened, StreamOutcome

__all__ = ["EventStream"]

MEDIA_TYPE = b"text/event-stream"
FIELDS: tuple[Header, ...] = (
    (b"content-type", MEDIA_TYPE),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
"""No cache keeps it, nobody on the way compresses it, and nginx passes on what it gets."""

PIECE = 64 * 1024
"""Bytes that the server is given at once: a client may take longer for an event than for what it must take in time."""


class EventStream:
    """A response, as an ASGI application.

    Args:
        events: what is sent, in this order, or bytes as ``ServerSentEvent.encode`` gives them. A generator is closed
            when the response ends, however it does.
        retry: seconds that a client waits before it reconnects; None leaves that to it.
        keep_alive: seconds without an event after which a comment is sent.
        send_timeout: seconds in which a client must take an event, or 64 KB of a longer one; then it is given up.
        headers: added to the response's, or in place of its own fields of those names.
        observer: receives ``StreamOpened`` and ``StreamEnded``.
        clock: monotonic time.

    Raises:
        Exception: what ``events`` raises, after an event ``error`` that tells what a client may know, and the
            response's end.
        ValueError: a duration is none, or ``headers`` name a media type at which clients give up.

    Cost: three tasks a stream, its request's own among them.
    """

    def __init__(
        self,
        events: AsyncIterable[ServerSentEvent | bytes],
        *,
        retry: float | None = 2.0,
        keep_alive: float = 15.0,
        send_timeout: float = 30.0,
        headers: Iterable[Header] = (),
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not all(math.isfinite(seconds) and seconds > 0 for seconds in (keep_alive, send_timeout)):
            raise ValueError("keep_alive and send_timeout are durations above 0")
        self.events = events
        self.opening = b"" if retry is None else retry_field(retry)
        self.keep_alive = keep_alive
        self.send_timeout = send_timeout
        self.headers = _with_own(headers)
        self.observer = observer
        self.clock = clock or SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as closing:
            close = getattr(self.events, "aclose", None)
            if close is not None:
                closing.push_async_callback(close)
            await send({"type": "http.response.start", "status": 200, "headers": list(self.headers)})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            await _Serving(self, exchange_of(scope).request_id, receive, send).run()


def _with_own(headers: Iterable[Header]) -> list[Header]:
    """``FIELDS``, and ``headers`` in place of those that they name."""
    given = [(name.lower(), value) for name, value in headers]
    for name, value in given:
        if name == b"content-type" and value.partition(b";")[0].strip().lower() != MEDIA_TYPE:
            raise ValueError(f"an event stream is {MEDIA_TYPE.decode()}, not {value.decode('latin-1')}")
    named = {name for name, _ in given}
    return [*(field for field in FIELDS if field[0] not in named), *given]


class _ClientLeft(Exception):
    """The server says so when something is sent (ASGI 2.4), or the stream was ended."""


class _Serving:
    """One stream while it is sent."""

    def __init__(self, stream: EventStream, request_id: str, receive: Receive, send: Send) -> None:
        self._stream = stream
        self._request_id = request_id
        self._receive = receive
        self._send = send
        self._now = stream.clock.monotonic
        self._turn = asyncio.Lock()
        self._opened = self._last = self._now()
        self._sending: float | None = None
        self._leaving: asyncio.Task[None]
        self._count = 0
        self._first: float | None = None
        self._failure: Exception | None = None
        self._over = False

    async def run(self) -> None:
        """Send the stream to its end.

        Raises:
            Exception: what the events' source raised.
        """
        observer = self._stream.observer
        if observer is not None:
            observer(StreamOpened())
        outcome: StreamOutcome = "cut_off"
        error: BaseException | None = None
        work = asyncio.create_task(self._work(), name="tailrace event stream")
        leaving = self._leaving = asyncio.create_task(self._left(), name="tailrace event stream's client")
        tasks = {work, leaving}
        try:
            outcome, error = await self._watch(work, tasks)
        finally:
            for task in tasks:
                task.cancel()
            self._over = True
            await asyncio.gather(*tasks, return_exceptions=True)  # the one that ended first has been looked at
            if self._failure is not None:  # even if nobody was there to be told, or the source failed as it was ended
                outcome, error = "failed", self._failure
            if observer is not None:
                observer(StreamEnded(outcome, self._now() - self._opened, self._count, self._first))
        if error is not None:
            raise error

    async def _watch(
        self, work: asyncio.Task[None], tasks: set[asyncio.Task[None]]
    ) -> tuple[StreamOutcome, BaseException | None]:
        """Keep the connection alive until the stream ends; how it did, and what must be told of it."""
        stream = self._stream
        while True:
            if self._sending is None:
                until = min(self._last + stream.keep_alive, self._now() + stream.send_timeout)
            else:
                until = self._sending + stream.send_timeout
            pause = max(0.0, until - self._now())
            done, _ = await asyncio.wait(tasks, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if self._leaving in done and not self._leaving.cancelled():
                return "client_left", self._leaving.exception()
            for task in done:
                error = None if task.cancelled() else task.exception()
                if error is not None:
                    return ("client_left", None) if isinstance(error, _ClientLeft) else ("failed", error)
            if work in done:
                return "complete", None
            tasks -= done  # a comment that was sent
            now = self._now()
            if self._sending is not None:
                if now - self._sending >= stream.send_timeout:
                    return "too_slow", None
            elif now - self._last >= stream.keep_alive:
                self._last = now
                tasks.add(asyncio.create_task(self._write(KEEP_ALIVE), name="tailrace keep-alive"))

    async def _left(self) -> None:
        """Return when the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _work(self) -> None:
        if self._stream.opening:
            await self._write(self._stream.opening)
        try:
            async for event in self._stream.events:
                await self._write(event if isinstance(event, bytes) else event.encode())
                self._count += 1
                if self._first is None:
                    self._first = self._now() - self._opened
        except _ClientLeft:
            raise
        except Exception as error:
            self._failure = error
            await self._write(self._told(error).encode())
            await self._end()
            raise
        await self._end()

    async def _end(self) -> None:
        # A server says that the client has left as soon as the response is complete; that is not meant here.
        self._leaving.cancel()
        await self._write(b"", more=False)

    def _told(self, error: Exception) -> ServerSentEvent:
        """What the client may know of a failure."""
        problem: dict[str, Any] = dict(rfc9457.render(problem_of(error, self._request_id)))
        return ServerSentEvent(json.dumps(problem, default=str, separators=(",", ":")), "error")

    async def _write(self, frame: bytes, *, more: bool = True) -> None:
        async with self._turn:
            for start in range(0, len(frame) or 1, PIECE):
                if self._over:
                    raise _ClientLeft
                self._sending = self._now()
                piece = frame[start : start + PIECE]
                try:
                    await self._send({"type": "http.response.body", "body": piece, "more_body": more})
                except OSError as error:
                    raise _ClientLeft from error
                finally:
                    self._sending, self._last = None, self._now()
