"""What happens to event streams. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.events.base import Event

__all__ = ["ResumeOutcome", "StreamEnded", "StreamOpened", "StreamOutcome", "StreamResumed"]

StreamOutcome = Literal["complete", "client_left", "too_slow", "failed", "cut_off"]
"""Sent to its end; the client left, or did not take what was sent; its source failed; the server ended it."""

ResumeOutcome = Literal["replayed", "continued", "had_all", "unknown"]
"""From the log; from the log and by doing the work again; nothing was missing; the log had it no more."""


@dataclass(frozen=True, slots=True)
class StreamOpened(Event):
    """A stream of server-sent events began."""


@dataclass(frozen=True, slots=True)
class StreamEnded(Event):
    """A stream ended after ``duration`` seconds; ``first`` is when its first event had been sent, None if none was."""

    outcome: StreamOutcome
    duration: float
    sent: int
    first: float | None


@dataclass(frozen=True, slots=True)
class StreamResumed(Event):
    """A client came back for the rest of a stream."""

    outcome: ResumeOutcome
