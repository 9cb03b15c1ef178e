"""Server-sent events: a response that goes on, stops its work when its client leaves, and can be taken up again.

- `ServerSentEvent`: what is sent. `EventStream`: sends it, as an ASGI application.
- `ResumableStreams`: gives events their ids and lets a client that was cut off go on from the last one it got.
- `MemoryReplayLog`, `valkey_log.ValkeyReplayLog`: where it finds what that client missed.
"""

from __future__ import annotations

from tailrace.asgi.sse.event import ServerSentEvent
from tailrace.asgi.sse.memory_log import MemoryReplayLog
from tailrace.asgi.sse.replay_log import Recorded, ReplayLog
from tailrace.asgi.sse.resumption import ResumableStreams, closed_with
from tailrace.asgi.sse.stream import EventStream

__all__ = [
    "EventStream",
    "MemoryReplayLog",
    "Recorded",
    "ReplayLog",
    "ResumableStreams",
    "ServerSentEvent",
    "closed_with",
]
