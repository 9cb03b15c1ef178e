"""Event streams of an application: the response, and the dependency that opens one. Touches: the request's scope."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.sse import EventStream, MemoryReplayLog, ReplayLog, ResumableStreams, ServerSentEvent
from tailrace.asgi.sse.resumption import Produce
from tailrace.fastapi.dependencies import SCOPE_KEY, tailrace_of

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace

__all__ = ["EventStreamResponse", "StreamingDependency", "Streams", "make_streams"]


class EventStreamResponse(Response):
    """A response of server-sent events, ended when the client leaves. The application's Tailrace counts it.

    Args:
        events: what is sent.
        status_code: 200; named because FastAPI documents a response by it.
        headers: added to the response's, or in place of its own of those names.
        background: run when the stream has ended.
        options: the other arguments of ``EventStream``.

    Raises:
        ValueError: another status, at which clients give up.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterable[ServerSentEvent | bytes],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        **options: Any,
    ) -> None:
        if status_code != 200:
            raise ValueError(f"an event stream is 200, not {status_code}")
        self.status_code = status_code
        self.background = background
        self.media_type = None  # type: ignore[assignment]  # the stream names it itself
        self.init_headers(headers)
        self._events = events
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tailrace = scope.get(SCOPE_KEY)
        usual = {} if tailrace is None else {"observer": tailrace.observer, "clock": tailrace.clock}
        stream = EventStream(self._events, headers=self.raw_headers, **(usual | self._options))
        await stream(scope, receive, send)
        if self.background is not None:
            await self.background()


class Streams:
    """Opens the streams of one request, which a client that was cut off takes up where it was."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def __call__(self, produce: Produce, *, scope: str, **options: Any) -> Response:
        """The response: the whole stream, what the client missed of it, or 204 if it missed nothing.

        Args:
            produce: begins the work.
            scope: whose stream it is, and of what as far as the URL does not tell: the body of a POST.
            options: arguments of ``EventStreamResponse``.
        """
        tailrace = tailrace_of(self._request)
        exchange = exchange_of(self._request.scope)
        asked = repr((scope, exchange.path, self._request.url.query))
        events = await tailrace.streams.open(produce, scope=asked, last_event_id=exchange.header("last-event-id"))
        if events is None:
            return Response(status_code=204, headers={"cache-control": "no-store"})
        return EventStreamResponse(events, **options)


async def _streams(request: Request) -> Streams:
    """A coroutine, since FastAPI calls what is none, a class too, in a thread."""
    return Streams(request)


StreamingDependency = Annotated[Streams, Depends(_streams)]
"""Opens streams: ``return await streaming(produce, scope=user)``."""


def make_streams(tailrace: Tailrace) -> ResumableStreams:
    """Streams that are kept in the shared store, if there is one, else in this process."""
    return ResumableStreams(_log(tailrace), observer=tailrace.observer)


def _log(tailrace: Tailrace) -> ReplayLog:
    settings = tailrace.settings
    if settings.valkey_url is None:
        return MemoryReplayLog(clock=tailrace.clock)
    from tailrace.asgi.sse.valkey_log import ValkeyReplayLog
    from tailrace.stores import ValkeyStore

    store = ValkeyStore(
        settings.valkey_url.get_secret_value(),
        settings=settings.valkey,
        clock=tailrace.clock,
        observer=tailrace.observer,
        name="streams",
    )
    return ValkeyReplayLog(store, namespace=settings.cache.namespace)
