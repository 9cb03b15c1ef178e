"""Where a request's time went: events of the rooms below, added up by phase. Touches: one context variable (read).

An observer like any other, for ``Server-Timing``. Costs one look-up an event when nobody measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tailrace.asgi.exchange import current_exchange
from tailrace.events import (
    CacheLookedUp,
    ConnectionCheckedOut,
    Event,
    Fenced,
    StatementFinished,
    UpstreamCalled,
)

__all__ = ["PHASES", "measure_phases"]

PHASES: Mapping[type[Event], tuple[str, Callable[[Any], float]]] = {
    ConnectionCheckedOut: ("pool", lambda event: event.wait),
    StatementFinished: ("db", lambda event: event.duration),
    UpstreamCalled: ("upstream", lambda event: event.duration),
    Fenced: ("fence", lambda event: event.duration),
}
"""Event to phase and seconds. A cache look-up that computes contains the other phases, so only hits count."""


def measure_phases(event: Event) -> None:
    """Add the event's duration to the phases of the request being served, if they are measured."""
    exchange = current_exchange.get()
    if exchange is None or exchange.phases is None:
        return
    known = PHASES.get(type(event))
    if known is not None:
        name, seconds = known
        exchange.phases[name] = exchange.phases.get(name, 0.0) + seconds(event)
    elif isinstance(event, CacheLookedUp) and event.status in ("hit", "stale"):
        exchange.phases["cache"] = exchange.phases.get("cache", 0.0) + event.duration
