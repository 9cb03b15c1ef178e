"""How much to generate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MINIMUM_TURNS", "SCALES", "Scale"]

MINIMUM_TURNS = 6
"""Fewest turns in a call."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A named size.

    Args:
        name: what the loaded data is known by.
        calls: number of calls, 50 or more.
        turns: number of turns in all of them together, at least :data:`MINIMUM_TURNS` for each.
        reps: number of sales representatives, 4 or more.
        opportunities: number of opportunities, at least one for each representative.
    """

    name: str
    calls: int
    turns: int
    reps: int
    opportunities: int

    def __post_init__(self) -> None:
        if self.calls < 50:
            raise ValueError(f"calls must be at least 50, not {self.calls}")
        if self.turns < self.calls * MINIMUM_TURNS:
            raise ValueError(f"turns must be at least {MINIMUM_TURNS} for each call, not {self.turns}")
        if self.reps < 4:
            raise ValueError(f"reps must be at least 4, not {self.reps}")
        if self.opportunities < self.reps:
            raise ValueError(f"opportunities must be at least as many as reps, not {self.opportunities}")

    @property
    def emails(self) -> int:
        """One for each call, on average three for an opportunity."""
        return self.calls


SCALES = {
    scale.name: scale
    for scale in (
        Scale("small", 1_000, 20_000, 20, 300),
        Scale("medium", 100_000, 2_000_000, 200, 30_000),
        Scale("large", 1_000_000, 20_000_000, 1_000, 300_000),
    )
}
"""The three that the measurements are made at."""
