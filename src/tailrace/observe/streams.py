"""What is recorded of event streams and of the semantic caches behind them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tailrace import events
from tailrace.events import Event

if TYPE_CHECKING:
    from tailrace.observe.metrics import Metrics

__all__ = ["recorders_of_semantic", "recorders_of_streams"]


def recorders_of_streams(metrics: Metrics) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    open_now = metrics["tailrace.stream.open"].add
    lasted = metrics["tailrace.stream.duration"].observe
    first = metrics["tailrace.stream.first_event"].observe
    sent = metrics["tailrace.stream.events"].add
    resumed = metrics["tailrace.stream.resumptions"].add
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


def recorders_of_semantic(metrics: Metrics) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    asked = metrics["tailrace.semantic.requests"].add
    similarity = metrics["tailrace.semantic.similarity"].observe
    vetoed = metrics["tailrace.semantic.vetoes"].add
    compared = metrics["tailrace.semantic.comparisons"].add

    def looked_up(event: events.SemanticLookedUp) -> None:
        asked((event.cache, event.outcome))
        if event.outcome == "similar" and event.similarity is not None:
            similarity((event.cache,), event.similarity)

    return {
        events.SemanticLookedUp: looked_up,
        events.SemanticVetoed: lambda e: vetoed((e.cache, e.reason)),
        events.SemanticCompared: lambda e: compared((e.cache, e.how, "right" if e.right else "wrong")),
    }
