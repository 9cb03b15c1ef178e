"""What a semantic cache says of its answers. Pure: values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tailrace.cache import Answer
from tailrace.semantic.guards import Veto

__all__ = ["Candidate", "Outcome", "SemanticAnswer", "SemanticExplanation", "SemanticStatistics"]

Outcome = Literal["exact", "similar", "miss", "bypass"]


@dataclass(frozen=True, slots=True)
class SemanticAnswer:
    """An answer and how it was found.

    Attributes:
        answer: as the cache gives it.
        outcome: exact, similar, miss (computed for this caller or for another who asked the same) or bypass.
        similarity: of the question that it was computed for, 1 for the same text; None for what was computed.
        asked: that question in its folded form; None unless ``similar``.
    """

    answer: Answer
    outcome: Outcome
    similarity: float | None = None
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A close question, and why its answer would or would not be served.

    Attributes:
        asked: in its folded form.
        similarity: cosine.
        veto: the guard that is against it.
        alive: its answer is still valid, and ends with all that the question depends on.
        distrusted: it was wrong for a question as close or closer.
        share: part of such questions that is served, 0 to 1; below 1 only where wrong answers are bounded.
    """

    asked: str
    similarity: float
    veto: Veto | None
    alive: bool
    distrusted: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class SemanticExplanation:
    """What would happen to a question now, and why, in words; ``candidates`` the closest first."""

    outcome: Outcome
    why: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class SemanticStatistics:
    """Counted since the start. ``vetoes``: close questions whose answer was not served, by reason."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    vetoes: Counter[Veto] = field(default_factory=Counter)
    outdated: int = 0
    """Close questions whose answer had ended."""
    distrusted: int = 0
    """Close questions whose answer was wrong for another one before."""
    compared: int = 0
    """Kept answers compared with fresh ones."""
    differed: int = 0
    """Of these, such as said something else."""
    audited: int = 0
    """Hits that were computed again afterwards, and compared."""
    wrong: int = 0
    """Of these, such as were wrong; and those that were rejected."""

    @property
    def asked(self) -> int:
        """Questions in all."""
        return self.outcomes.total()

    @property
    def hit_ratio(self) -> float:
        """Share that was not computed, 0 to 1."""
        return (self.outcomes["exact"] + self.outcomes["similar"]) / max(1, self.asked)

    def as_dict(self) -> Mapping[str, object]:
        """For a page of figures."""
        return {
            "asked": self.asked,
            "hit_ratio": self.hit_ratio,
            "outcomes": dict(self.outcomes),
            "vetoes": dict(self.vetoes),
            "outdated": self.outdated,
            "distrusted": self.distrusted,
            "compared": self.compared,
            "differed": self.differed,
            "audited": self.audited,
            "wrong": self.wrong,
        }
