"""What a representative should work on: skills that lag behind the best of their peers, and what to do. Pure.

A skill gap is how far an average lies below the upper quartile of the peers' averages. The plan takes the widest gaps
first; what it tells to attend to are the improvements that the newest coaching sessions named most often, and the
target is that quartile. The exercises are this service's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["MOST_STEPS", "REMARKED_SESSIONS", "Remark", "SkillGap", "Step", "coaching_plan", "skill_gaps"]

MOST_STEPS = 3
"""Nobody works on everything at once."""
REMARKED_SESSIONS = 100
"""The newest sessions, of all dimensions together, whose remarks count."""
_MOST_REMARKS = 3

EXERCISES = {
    "product_knowledge": "Before the next call, write down the three questions the prospect is most likely to ask, "
    "with a customer story or a number for each answer.",
    "discovery": "Prepare five open questions for the next call, and ask two of them before presenting anything.",
    "objection_handling": "Practise with a colleague: pause, acknowledge the concern, ask what is behind it, then "
    "answer with evidence.",
    "engagement": "Stop after each explanation with a question, wait for the answer, and end the call with a next "
    "step that has a day.",
}


@dataclass(frozen=True, slots=True)
class SkillGap:
    """``gap`` points between the representative's average and ``target``, the upper quartile of the peers'."""

    dimension: str
    average: float
    target: float
    gap: float


@dataclass(frozen=True, slots=True)
class Remark:
    """An improvement, and in how many of the newest sessions it was named."""

    text: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to work on; ``priority`` counts from 1."""

    priority: int
    dimension: str
    target: float
    attend_to: tuple[Remark, ...]
    exercise: str


def skill_gaps(averages: Mapping[str, float], targets: Mapping[str, float]) -> tuple[SkillGap, ...]:
    """The dimensions below their target, the widest gap first."""
    found = [
        SkillGap(dimension, round(average, 2), round(targets[dimension], 2), round(targets[dimension] - average, 2))
        for dimension, average in averages.items()
        if dimension in targets and average < targets[dimension]
    ]
    return tuple(sorted(found, key=lambda gap: (-gap.gap, gap.dimension)))


def coaching_plan(gaps: Sequence[SkillGap], remarks: Sequence[tuple[str, Sequence[str]]]) -> tuple[Step, ...]:
    """A step for each of the widest ``gaps``.

    Args:
        gaps: the widest first.
        remarks: dimension and improvements of each of the newest sessions.
    """
    return tuple(
        Step(priority, gap.dimension, gap.target, _most_named(gap.dimension, remarks), EXERCISES[gap.dimension])
        for priority, gap in enumerate(gaps[:MOST_STEPS], 1)
    )


def _most_named(dimension: str, remarks: Sequence[tuple[str, Sequence[str]]]) -> tuple[Remark, ...]:
    named = Counter(text for about, texts in remarks if about == dimension for text in set(texts))
    ranked = sorted(named.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Remark(text, sessions) for text, sessions in ranked[:_MOST_REMARKS])
