"""Streams that a client which was cut off takes up where it was. Touches: the log, random bytes.

Each event gets an id: its stream's name and its number in it. A client that comes back sends the last one it got, to
whichever process, and gets what it missed from the log. If the stream had not ended, its work had: nobody works for
clients that have left. So the work is done again, and what it gives is compared with what was sent. As long as it is
the same, only what is new goes to the client; if it differs, what the client has is the beginning of something else,
and it gets the new stream from its first event on.

A stream is found only by who gave the same scope, so an id that somebody else learns is of no use to them.

**Source:** WHATWG HTML, "Server-sent events", section 9.2.4 (``Last-Event-ID``, and 204 to end reconnecting).
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from hashlib import blake2b

from tailrace.asgi.sse.event import ServerSentEvent
from tailrace.asgi.sse.replay_log import Recorded, ReplayLog
from tailrace.errors import StoreUnavailableError
from tailrace.events import Observer, ResumeOutcome, StreamResumed

__all__ = ["Produce", "ResumableStreams", "closed_with"]

Produce = Callable[[], AsyncIterator[ServerSentEvent]]
"""Begins the work of a stream. Ids of its events are replaced."""

_ID = re.compile(r"([A-Za-z0-9_-]{22})\.([1-9][0-9]{0,8})")
_log = logging.getLogger("tailrace")


class ResumableStreams:
    """Opens streams, new or where their client was.

    Args:
        log: keeps what was sent.
        most_events, most_bytes: of one stream; one that is longer cannot be taken up again.
        observer: receives ``StreamResumed``.
    """

    def __init__(
        self,
        log: ReplayLog,
        *,
        most_events: int = 2_000,
        most_bytes: int = 1024 * 1024,
        observer: Observer | None = None,
    ) -> None:
        self._log = log
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._observer = observer

    async def open(
        self, produce: Produce, *, scope: str, last_event_id: str | None = None
    ) -> AsyncIterator[bytes] | None:
        """The events to send, encoded, or None if the client has them all: 204 then ends its reconnecting.

        Args:
            produce: begins the work; called when the first of its events is asked for.
            scope: who asks for what: a client goes on only with a stream of the same scope.
            last_event_id: what the client sent, if anything.

        Cost: 1 round trip of the log to go on, 1 for each event and for the end.
        """
        point = None if last_event_id is None else _ID.fullmatch(last_event_id)
        if point is None:
            return self._anew(produce, scope)
        stream, number = point[1], int(point[2])
        recorded = await self._read(scope, stream)
        if recorded is None or len(recorded.bodies) < number:
            self._report("unknown")
            return self._anew(produce, scope)
        if recorded.ended:
            if len(recorded.bodies) == number:
                self._report("had_all")
                return None
            self._report("replayed")
            return _rest(recorded, stream, number)
        self._report("continued")
        return self._continued(produce, scope, recorded, stream, number)

    async def check(self) -> None:
        """Return if what is sent could be kept now.

        Raises:
            StoreUnavailableError: it could not.
        """
        await self._log.read("none")

    async def aclose(self) -> None:
        """Close the log."""
        await self._log.aclose()

    async def _anew(self, produce: Produce, scope: str) -> AsyncIterator[bytes]:
        writer = _Writer(self._log, scope, self._most_events, self._most_bytes)
        async with AsyncExitStack() as closing:
            async for event in closed_with(produce(), closing):
                yield await writer.write(event.body())
            await writer.end()

    async def _continued(
        self, produce: Produce, scope: str, recorded: Recorded, stream: str, number: int
    ) -> AsyncIterator[bytes]:
        async for frame in _rest(recorded, stream, number):
            yield frame
        # A log of its own: whoever served the client before may not know yet that it has left.
        writer = _Writer(self._log, scope, self._most_events, self._most_bytes)
        same: list[bytes] | None = []
        async with AsyncExitStack() as closing:
            async for event in closed_with(produce(), closing):
                body = event.body()
                frame = await writer.write(body)
                if same is not None and len(same) < len(recorded.bodies):
                    if recorded.bodies[len(same)] == body:
                        same.append(frame)
                        continue
                    for earlier in same:
                        yield earlier
                    same = None
                yield frame
            if same is not None and len(same) < len(recorded.bodies):  # it ended earlier than it had before
                for earlier in same:
                    yield earlier
            await writer.end()
            if same is not None and writer.number == len(recorded.bodies) + 1:
                # The client had all but the news that it was all; the next time it is told so at once.
                await self._note_end(_key(scope, stream), writer.number)

    async def _note_end(self, key: str, number: int) -> None:
        try:
            await self._log.end(key, number)
        except StoreUnavailableError:
            _log.info("the end of a stream could not be noted; a client that asks again makes it be made again")

    async def _read(self, scope: str, stream: str) -> Recorded | None:
        try:
            return await self._log.read(_key(scope, stream))
        except StoreUnavailableError:
            return None

    def _report(self, outcome: ResumeOutcome) -> None:
        if self._observer is not None:
            self._observer(StreamResumed(outcome))


class _Writer:
    """Gives the events of one stream their ids and keeps them, as far as that is possible.

    Attributes:
        number: of the last event; once the end is noted, of the one that would follow.
    """

    def __init__(self, log: ReplayLog, scope: str, most_events: int, most_bytes: int) -> None:
        self._log = log
        self._stream = secrets.token_urlsafe(16)
        self._key = _key(scope, self._stream)
        self.number = 0
        self._left = most_bytes
        self._most_events = most_events
        self._keeps = True

    async def write(self, body: bytes) -> bytes:
        """Keep an event; its frame."""
        self.number += 1
        self._left -= len(body)
        if self._keeps:
            if self._left < 0 or self.number > self._most_events:
                await self._give_up("it is too long")
            else:
                await self._try(self._log.append, body)
        return _frame(self._stream, self.number, body)

    async def end(self) -> None:
        """Note that nothing follows."""
        self.number += 1
        if self._keeps:
            await self._try(self._log.end)

    async def _try(self, keep: Callable[..., object], *arguments: object) -> None:
        try:
            await keep(self._key, self.number, *arguments)  # type: ignore[misc]
        except StoreUnavailableError as error:
            await self._give_up(str(error))

    async def _give_up(self, why: str) -> None:
        """A part of a stream is worse than nothing: from now on it cannot be taken up again."""
        self._keeps = False
        _log.info("a stream is kept no more: %s", why)
        try:
            await self._log.forget(self._key)
        except StoreUnavailableError:
            return  # it expires; what is missing at its end is made again, and compared


async def _rest(recorded: Recorded, stream: str, number: int) -> AsyncIterator[bytes]:
    for at, body in enumerate(recorded.bodies[number:], number + 1):
        yield _frame(stream, at, body)


def closed_with(events: AsyncIterator[ServerSentEvent], closing: AsyncExitStack) -> AsyncIterator[ServerSentEvent]:
    """The events, whose source is closed with ``closing`` if it can be."""
    close = getattr(events, "aclose", None)
    if close is not None:
        closing.push_async_callback(close)
    return events


def _frame(stream: str, number: int, body: bytes) -> bytes:
    return b"id: %b.%d\n%b" % (stream.encode("ascii"), number, body)


def _key(scope: str, stream: str) -> str:
    digest = blake2b(
        stream.encode("ascii"), digest_size=16, key=blake2b(scope.encode("utf-8", "surrogatepass")).digest()
    )
    return digest.hexdigest()
