"""Runs the application once for everyone who waits for the response, and keeps what it sends.

Touches: one asyncio task. A response that turns out not to be kept, because of its headers, its length or because it is
a stream, stops being recorded: the one client it was made for then receives it as it comes, nothing is held back, and
the others are free to ask for themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.headers import read_headers
from tailrace.asgi.storing import Keep
from tailrace.asgi.types import ASGIApp, Header, Message, Receive, Scope, Send

__all__ = ["Recording", "ResponseFailed"]

_log = logging.getLogger("tailrace.asgi")

Decide = Callable[[int, dict[bytes, bytes]], "Keep | str"]


class ResponseFailed(Exception):
    """The application answered 5xx, or raised after it had.

    Attributes:
        status, headers, body: what it answered.
        error: what it raised afterwards, if anything.
    """

    def __init__(self, status: int, headers: list[Header], body: bytes, error: BaseException | None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.body = body
        self.error = error


class Recording:
    """One run of the application.

    Args:
        app: the application.
        scope: of its own; the application may change it.
        receive: the client's, listened to only once the response is passed on to it.
        decide: whether a response with these headers is kept.
        max_body: bytes of a body that is kept.
        tasks: holds the run while it lasts; an application may go on after its response is complete.

    Attributes:
        passing: the response is not recorded but waits for, or goes to, its client.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        *,
        decide: Decide,
        max_body: int,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._app = app
        self._scope = scope
        self._client_receive = receive
        self._decide = decide
        self._max_body = max_body
        self._tasks = tasks
        self._settled = asyncio.Event()
        self._attached = asyncio.Event()
        self._target: Send | None = None
        self._task: asyncio.Task[None] | None = None
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._asked = False
        self._declared = False
        self.complete = False
        self.passing = False
        self.verdict: Keep | str = "nothing sent"

    @property
    def status(self) -> int:
        """The response's."""
        return 0 if self._start is None else int(self._start["status"])

    @property
    def headers(self) -> list[Header]:
        """The response's, as sent."""
        return [] if self._start is None else list(self._start.get("headers", ()))

    @property
    def body(self) -> bytes:
        """What has been recorded of the body."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def run(self) -> None:
        """Run until the response is recorded or begins to be passed on.

        Raises:
            ResponseFailed: a 5xx.
            Exception: what the application raised before its response was complete.
        """
        task = self._task = asyncio.create_task(self._run(), name="tailrace response")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        try:
            await self._settled.wait()
        except asyncio.CancelledError:
            task.cancel()
            raise
        if self.passing:
            return
        error = None
        if self.complete and self.status >= 500:
            # The application's own error page comes before the exception that explains it.
            await asyncio.wait([task])
            error = None if task.cancelled() else task.exception()
            raise ResponseFailed(self.status, self.headers, self.body, error)
        if not self.complete:
            await task
            raise RuntimeError("the application returned without completing its response")

    async def pass_on(self, send: Send) -> None:
        """Give the response to its client, as it comes, to its end.

        Raises:
            Exception: what the application raises.
        """
        assert self._task is not None
        if self._start is not None:
            await send(self._start)
        if self._chunks:
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
        self._target = send
        self._attached.set()
        try:
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._task.cancel()
            raise

    def abandon(self) -> None:
        """Nobody will take the response: end the run if it waits for a client."""
        if self.passing and self._target is None and self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._settled.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self.complete and self.status < 500:
            # The response has been answered and kept; what came after it concerns nobody but the log.
            _log.error("%s after the response was complete", type(error).__name__, exc_info=error)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            exchange_of(self._scope).part()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._settled.wait()
        if self.passing:
            await self._attached.wait()
            return await self._client_receive()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self.passing:
            if not self._record(message):
                return
            self.passing = True
            self._settled.set()
        await self._attached.wait()
        assert self._target is not None
        await self._target(message)

    def _record(self, message: Message) -> bool:
        """Keep the message; True if it must be passed on instead, with all that follow."""
        kind: str = message["type"]
        if kind == "http.response.start":
            fields = read_headers([(name.lower(), value) for name, value in message.get("headers", ())])
            length = fields.get(b"content-length", b"")
            self._declared = length.isdigit() and int(length) <= self._max_body
            self.verdict = self._decide(message["status"], fields)
            if length.isdigit() and not self._declared:
                self.verdict = "too large"
            if message["status"] < 500 and isinstance(self.verdict, str):
                return True
            self._start = message
            return False
        if kind != "http.response.body":
            self.verdict = kind
            return True
        return self._record_body(message.get("body", b""), bool(message.get("more_body", False)))

    def _record_body(self, chunk: Any, more: bool) -> bool:
        size = self._size + len(chunk)
        if size > self._max_body or (more and not self._declared):
            self.verdict = "stream" if more else "too large"
            return True
        self._size = size
        if chunk:
            self._chunks.append(bytes(chunk))
        if not more:
            self.complete = True
            self._settled.set()
        return False
