"""How much to generate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCALES", "Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """A named size.

    Args:
        name: what the loaded data is known by.
        items: number of work items, 20 or more.
        traders: number of traders, 2 or more.
        signals: number of signals.
    """

    name: str
    items: int
    traders: int
    signals: int

    def __post_init__(self) -> None:
        if self.items < 20:
            raise ValueError(f"items must be at least 20, not {self.items}")
        if self.traders < 2:
            raise ValueError(f"traders must be at least 2, not {self.traders}")
        if self.signals < 0:
            raise ValueError(f"signals must be at least 0, not {self.signals}")


SCALES = {
    scale.name: scale
    for scale in (
        Scale("small", 5_000, 50, 50_000),
        Scale("medium", 100_000, 500, 1_000_000),
        Scale("large", 1_000_000, 2_000, 10_000_000),
    )
}
"""The three that the measurements are made at."""
