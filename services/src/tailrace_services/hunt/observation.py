"""What an answer shows: how many calls, which names, and whose they are. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Observation"]


@dataclass(slots=True)
class Observation:
    """Figures by (what is shown, whose): numbers of calls of the user (agent None) or of an agent; names by agent."""

    counts: dict[tuple[str, int | None], int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    @property
    def agents(self) -> set[int]:
        """Every agent that is mentioned."""
        return set(self.names) | {agent for _, agent in self.counts if agent is not None}
