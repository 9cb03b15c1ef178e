"""Server-sent events as they are received: bytes in any pieces to events. Pure.

**Source:** WHATWG HTML, "Server-sent events", sections 9.2.5 (parsing) and 9.2.6 (interpreting).
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from tailrace.errors import UpstreamError
from tailrace.upstream.message import media_type
from tailrace.upstream.streaming import ResponseStream

__all__ = ["EventReader", "ReceivedEvent", "received_events"]

LARGEST_EVENT = 1024 * 1024
"""Bytes of one event."""
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event; ``id`` is the last one that was sent, with this event or before it."""

    event: str
    data: str
    id: str


class EventReader:
    """Takes a stream's bytes as they come; an event without its end is none."""

    def __init__(self, largest: int = LARGEST_EVENT) -> None:
        self._largest = largest
        self._held: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = b""
        self._id = b""

    def feed(self, piece: bytes) -> list[ReceivedEvent]:
        """The events that ``piece`` completes.

        Raises:
            UpstreamError: an event is too large.
        """
        if self._after_return and piece:
            self._after_return = False
            piece = piece.removeprefix(b"\n")  # the other half of a line end
        self._after_return = self._after_return or piece.endswith(b"\r")
        self._size += len(piece)
        found: list[ReceivedEvent] = []
        if _LINE_END.search(piece) is None:
            self._held.append(piece)
        else:
            *lines, rest = _LINE_END.split(b"".join([*self._held, piece]))
            self._held = [rest]
            for line in lines:
                self._take(line, found)
            self._size = len(rest) + self._data_size
        if self._size > self._largest:
            raise UpstreamError(f"a server-sent event of more than {self._largest} bytes")
        return found

    def _take(self, line: bytes, found: list[ReceivedEvent]) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            if self._data:
                data = b"\n".join(self._data)
                found.append(ReceivedEvent(_text(self._event) or "message", _text(data), _text(self._id)))
            self._data, self._data_size, self._event = [], 0, b""
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(line)
        elif name == b"event":
            self._event = value
        elif name == b"id" and b"\x00" not in value:
            self._id = value


async def received_events(response: ResponseStream) -> AsyncGenerator[ReceivedEvent, None]:
    """The events of a response.

    Raises:
        UpstreamError: it is no event stream, or an event is too large; and whatever reading it raises.
    """
    if media_type(response.headers) != "text/event-stream":
        raise UpstreamError("an answer that should be an event stream is not")
    reader = EventReader()
    async for piece in response:
        for event in reader.feed(piece):
            yield event


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
