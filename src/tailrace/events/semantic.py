"""What happens in semantic caches. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.events.base import Event

__all__ = ["SemanticCompared", "SemanticComparison", "SemanticLookedUp", "SemanticVetoed"]

SemanticComparison = Literal["explored", "audited", "rejected"]
"""A question was computed although it could have been answered; a hit was computed afterwards; somebody complained."""


@dataclass(frozen=True, slots=True)
class SemanticLookedUp(Event):
    """A question was answered. ``outcome``: exact, similar, miss or bypass; ``similarity`` is None for the last two."""

    cache: str
    outcome: str
    similarity: float | None


@dataclass(frozen=True, slots=True)
class SemanticVetoed(Event):
    """A close question's answer was not served. ``reason`` is the guard's."""

    cache: str
    reason: str


@dataclass(frozen=True, slots=True)
class SemanticCompared(Event):
    """A kept answer to a close question was compared with a fresh one, or rejected."""

    cache: str
    how: SemanticComparison
    right: bool
