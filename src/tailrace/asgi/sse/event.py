"""One server-sent event, and how it looks on the wire. Pure.

Whatever is in a field stays in that field: a line end in data begins another line of data, and one in an id or a name
is refused, so nobody can put events into a stream by what they write.

**Source:** WHATWG HTML, "Server-sent events", sections 9.2.5 (parsing) and 9.2.6 (interpreting).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

__all__ = ["KEEP_ALIVE", "ServerSentEvent", "retry_field"]

KEEP_ALIVE = b":\n"
"""A comment: clients ignore it, proxies see that the connection is in use. No empty line follows: some clients make an
event of whatever comes before one."""

LINE_ENDS = frozenset("\r\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event.

    Args:
        data: the text, of any number of lines; a client gets LF for each line end. None: clients are told of no event,
            only of ``id`` and ``retry``.
        event: its name; None is ``message``.
        id: what a client that reconnects sends as ``Last-Event-ID``.
        retry: seconds that a client waits before it reconnects, from now on.

    Raises:
        ValueError: ``event`` or ``id`` has a line end, ``id`` a NUL, or ``retry`` is no duration.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: float | None = None

    def __post_init__(self) -> None:
        if self.event is not None and not LINE_ENDS.isdisjoint(self.event):
            raise ValueError("an event's name is one line")
        if self.id is not None and not (LINE_ENDS | {"\0"}).isdisjoint(self.id):
            raise ValueError("an event's id is one line without NUL")
        if self.retry is not None:
            retry_field(self.retry)

    @classmethod
    def json(cls, value: Any, *, event: str | None = None) -> ServerSentEvent:
        """An event whose data is ``value`` as JSON, in one line.

        Raises:
            TypeError: JSON has no form for it.

        >>> ServerSentEvent.json({"text": "two\\nlines"}, event="chunk").encode()
        b'event: chunk\\ndata: {"text":"two\\\\nlines"}\\n\\n'
        """
        return cls(json.dumps(value, ensure_ascii=False, separators=(",", ":")), event)

    def encode(self) -> bytes:
        """The event as it is sent, with the empty line that ends it."""
        return (b"" if self.id is None else b"id: %b\n" % _encoded(self.id)) + self.body()

    def body(self) -> bytes:
        r"""The event as it is sent, but for its id.

        >>> ServerSentEvent("one\r\n two", retry=2.5).body()
        b'retry: 2500\ndata: one\ndata:  two\n\n'
        """
        fields = [] if self.retry is None else [retry_field(self.retry)]
        if self.event is not None:
            fields.append(b"event: %b\n" % _encoded(self.event))
        if self.data is not None:
            text = self.data
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            fields += [b"data: %b\n" % line for line in _encoded(text).split(b"\n")]
        return b"".join(fields) + b"\n"


def retry_field(seconds: float) -> bytes:
    """The field that says how long to wait before reconnecting; of the event that follows.

    Raises:
        ValueError: that is no duration.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"a client waits for a number of seconds, not {seconds}")
    return b"retry: %d\n" % round(seconds * 1000)


def _encoded(text: str) -> bytes:
    """UTF-8, the only encoding there is; what no encoding has (half a surrogate pair) becomes a question mark."""
    return text.encode("utf-8", "replace")
