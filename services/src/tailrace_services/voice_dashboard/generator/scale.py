"""How much to generate. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LARGEST_AGENTS", "LARGEST_SHARE_PERCENT", "MINIMUM_USERS", "SCALES", "Scale"]

LARGEST_SHARE_PERCENT = 5
"""User 1's share of all calls, percent."""

LARGEST_AGENTS = 50
"""User 1's number of agents, and the most anybody has."""

MINIMUM_USERS = 40
"""With fewer, somebody would have to have more calls than user 1."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A named size.

    Args:
        name: what the loaded data is known by.
        calls: number of calls, at least 1,000.
        users: number of users, at least :data:`MINIMUM_USERS`.
    """

    name: str
    calls: int
    users: int = 1000

    def __post_init__(self) -> None:
        if self.users < MINIMUM_USERS or self.users > 32_767:
            raise ValueError(f"users must be between {MINIMUM_USERS} and 32767, not {self.users}")
        if self.calls < 1000:
            raise ValueError(f"calls must be at least 1000, not {self.calls}")


SCALES = {
    scale.name: scale for scale in (Scale("small", 100_000), Scale("medium", 1_000_000), Scale("large", 10_000_000))
}
"""The three that the measurements are made at."""
