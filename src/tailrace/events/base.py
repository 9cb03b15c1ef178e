"""What every event is, and who receives it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Event", "Observer"]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


class Observer(Protocol):
    """Receives events as they happen; must be quick and must not raise."""

    def __call__(self, event: Event, /) -> None: ...
