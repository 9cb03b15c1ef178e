"""What is recorded of event streams and of the semantic caches behind them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tailrace import events
from tailrace.events import Event
from tailrace.observe.family import Family

__all__ = ["recorders_of_semantic", "recorders_of_streams"]


def recorders_of_streams(families: Mapping[str, Family]) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    open_now = families["tailrace.stream.open"].add
    lasted = families["tailrace.stream.duration"].observe
    first = families["tailrace.stream.first_event"].observe
    sent = families["tailrace.stream.events"].add
    resumed = families["tailrace.stream.resumptions"].add
    open_now((), 0)  # there before the first

    def stream_ended(event: events.StreamEnded) -> None:
        open_now((), -1)
        lasted((event.outcome,), event.duration)
        sent((), event.sent)
        if event.first is not None:
            first((), event.first)

    return {
        events.StreamOpened: lambda e: open_now((), 1),
        events.StreamEnded: stream_ended,
        events.StreamResumed: lambda e: resumed((e.outcome,)),
    }


def recorders_of_semantic(families: Mapping[str, Family]) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    asked = families["tailrace.semantic.requests"].add
    similarity = families["tailrace.semantic.similarity"].observe
    vetoed = families["tailrace.semantic.vetoes"].add
    compared = families["tailrace.semantic.comparisons"].add

    def looked_up(event: events.SemanticLookedUp) -> None:
        asked((event.cache, event.outcome))
        if event.outcome == "similar" and event.similarity is not None:
            similarity((event.cache,), event.similarity)

    return {
        events.SemanticLookedUp: looked_up,
        events.SemanticVetoed: lambda e: vetoed((e.cache, e.reason)),
        events.SemanticCompared: lambda e: compared((e.cache, e.how, "right" if e.right else "wrong")),
    }
