"""How much to generate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SCALES", "Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """A named size.

    Args:
        name: what the loaded data is known by.
        contents: number of posts, 100 or more.
        users: number of users, 5 or more.
        cards: number of cards.
    """

    name: str
    contents: int
    users: int
    cards: int

    def __post_init__(self) -> None:
        if self.contents < 100:
            raise ValueError(f"contents must be at least 100, not {self.contents}")
        if self.users < 5:
            raise ValueError(f"users must be at least 5, not {self.users}")
        if self.cards < self.users:
            raise ValueError(f"cards must be at least as many as users, not {self.cards}")

    @property
    def authors(self) -> int:
        """One for ten posts."""
        return self.contents // 10

    @property
    def patterns(self) -> int:
        """One for 25 posts."""
        return self.contents // 25

    @property
    def sessions(self) -> int:
        """Four for each user."""
        return self.users * 4

    @property
    def movements(self) -> int:
        """A grant for each user, and one movement for every other card."""
        return self.users + self.cards // 2


SCALES = {
    scale.name: scale
    for scale in (
        Scale("small", 5_000, 500, 20_000),
        Scale("medium", 100_000, 10_000, 400_000),
        Scale("large", 1_000_000, 100_000, 2_000_000),
    )
}
"""The three that the measurements are made at."""
