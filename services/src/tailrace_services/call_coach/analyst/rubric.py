"""The rubric: from figures to points in four dimensions. Pure. Version :data:`RUBRIC_VERSION`; any change of points is
another version, because scores of different rubrics cannot be compared.

A dimension's score is 100 times the weighted mean of its criteria's points, over those criteria that apply: where
nobody objected, there is nothing to say about handling objections, and the dimension has no score. Points fall off
linearly between the value that is good enough and the value that earns nothing.

**Source:** Gong Labs for what successful calls have in common: 43 % of the talk, worse above 65 %; 11 to 14 questions
in a call, which lasts half an hour to an hour, so 11 in 45 minutes here; longer waits after objections. Laske and
DiGennaro Reed (2024) for 5 and 12 fillers a minute. Weights, and bounds that are not among these, are this rubric's
own choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tailrace_services.call_coach.analyst.conversation import Conversation
from tailrace_services.call_coach.analyst.metrics import Findings, Metrics

__all__ = ["RUBRIC_VERSION", "Criterion", "DimensionScore", "falling", "rising", "score"]

RUBRIC_VERSION = "conversation-metrics-1"
STRONG, WEAK = 0.8, 0.5
"""Points from which a criterion is a strength, and below which it is something to improve."""
_MOST_EVIDENCE = 2


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that is judged. ``points`` is 0..1; ``turns`` are the moments it shows in."""

    name: str
    weight: float
    points: float
    strength: str
    improvement: str
    turns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DimensionScore:
    """A dimension's score, 0..100; None if nothing in the call was about it. ``evidence``: numbers of turns."""

    dimension: str
    score: int | None
    strengths: tuple[str, ...]
    improvements: tuple[str, ...]
    evidence: tuple[int, ...]
    criteria: tuple[Criterion, ...]


def rising(value: float, nothing: float, enough: float) -> float:
    """Points of a figure that is better when higher.

    >>> rising(3, 0, 4)
    0.75
    """
    return min(1.0, max(0.0, (value - nothing) / (enough - nothing)))


def falling(value: float, enough: float, nothing: float) -> float:
    """Points of a figure that is better when lower.

    >>> falling(7, 4, 8)
    0.25
    """
    return 1.0 - rising(value, enough, nothing)


def score(conversation: Conversation, metrics: Metrics, found: Findings) -> tuple[DimensionScore, ...]:
    """The score of every dimension, in the order of the model."""
    if not any(True for _ in conversation.of_rep()):
        return tuple(_scored(dimension, ()) for dimension in _DIMENSIONS)
    return tuple(
        _scored(dimension, tuple(judge(conversation, metrics, found))) for dimension, judge in _DIMENSIONS.items()
    )


def _scored(dimension: str, criteria: tuple[Criterion, ...]) -> DimensionScore:
    total = sum(criterion.weight for criterion in criteria)
    ranked = sorted(criteria, key=lambda criterion: -criterion.weight)
    strong = [criterion for criterion in ranked if criterion.points >= STRONG]
    weak = [criterion for criterion in ranked if criterion.points < WEAK]
    # What is weak needs evidence more than what is well done.
    moments = dict.fromkeys(
        number for criterion in (*weak, *strong, *ranked) for number in criterion.turns[:_MOST_EVIDENCE]
    )
    reached = sum(criterion.weight * criterion.points for criterion in criteria)
    return DimensionScore(
        dimension,
        round(100 * reached / total) if total else None,
        tuple(criterion.strength for criterion in strong),
        tuple(criterion.improvement for criterion in weak),
        tuple(moments)[: _MOST_EVIDENCE * 2],
        criteria,
    )


def _product_knowledge(conversation: Conversation, metrics: Metrics, found: Findings) -> Iterator[Criterion]:
    if found.answers:
        answered = [answer.turn.number for answer in found.answers if answer.turn]
        missed = [answer.question.turn.number for answer in found.answers if not answer.turn]
        yield Criterion(
            "questions answered",
            3,
            metrics.questions_answered / metrics.questions_due,
            "answered the prospect's questions with substance",
            "answer every question of the prospect before going on",
            tuple(missed or answered),
        )
    evidence = [turn.number for turn in conversation.of_rep() if conversation.lexicon.evidence.find(turn.text)]
    minutes = max(metrics.speaking_seconds / 60, 1 / 60)
    yield Criterion(
        "evidence",
        2,
        rising(len(evidence) / minutes, 0.0, 0.4),
        "backed claims with customers, examples or numbers",
        "tell of a customer, an example or a number",
        tuple(evidence),
    )
    if metrics.fillers_per_minute is not None:
        yield Criterion(
            "fluency",
            1,
            falling(metrics.fillers_per_minute, 5.0, 12.0),
            "spoke fluently",
            "pause in silence instead of filling",
        )


def _discovery(conversation: Conversation, metrics: Metrics, found: Findings) -> Iterator[Criterion]:
    asked = tuple(question.turn.number for question in found.questions)
    opened = tuple(question.turn.number for question in found.questions if question.open)
    minutes = max(conversation.span_ms / 60_000, 1.0)
    yield Criterion(
        "questions",
        2,
        rising(metrics.questions / minutes, 0.0, 11 / 45),
        "asked enough to understand",
        "ask more questions",
        asked,
    )
    if metrics.open_question_share is not None:
        closed = tuple(question.turn.number for question in found.questions if not question.open)
        points = rising(metrics.open_question_share, 0.0, 0.5)
        yield Criterion(
            "open questions",
            2,
            points,
            "asked open questions",
            "turn closed questions into open ones: how, what, why",
            opened if points >= STRONG else closed,
        )
    if found.customer_story is not None:
        yield Criterion(
            "customer story",
            1,
            rising(metrics.longest_customer_story_seconds, 0.0, 30.0),
            "let the prospect tell their story",
            "give the prospect room for a longer answer",
            (found.customer_story.first_turn,),
        )


def _objection_handling(conversation: Conversation, metrics: Metrics, found: Findings) -> Iterator[Criterion]:
    if not found.objections:
        return
    total = len(found.objections)
    answered = [objection for objection in found.objections if objection.response is not None]
    ways: tuple[tuple[str, float, Callable[[int], bool], str, str], ...] = (
        (
            "responded",
            2,
            lambda index: found.objections[index].response is not None,
            "responded to every objection",
            "respond to each objection before moving on",
        ),
        (
            "handled",
            3,
            lambda index: found.objections[index].handled,
            "acknowledged, explored or answered objections with evidence",
            "acknowledge the concern and ask what is behind it",
        ),
    )
    for name, weight, holds, strength, improvement in ways:
        did = [index for index in range(total) if holds(index)]
        failed = [index for index in range(total) if index not in did]
        turns = tuple(found.objections[index].turn.number for index in (failed or did))
        yield Criterion(name, weight, len(did) / total, strength, improvement, turns)
    waited = [objection.wait_ms for objection in answered if objection.wait_ms is not None]
    if waited:
        yield Criterion(
            "wait after objections",
            1,
            rising(sorted(waited)[len(waited) // 2], 0.0, 600.0),
            "paused before responding to objections",
            "pause before responding to an objection",
            tuple(objection.response.number for objection in answered if objection.response is not None),
        )


def _engagement(conversation: Conversation, metrics: Metrics, found: Findings) -> Iterator[Criterion]:
    minutes = max(conversation.span_ms / 60_000, 1.0)
    if metrics.talk_share is not None:
        share = metrics.talk_share
        points = rising(share, 0.05, 0.30) if share < 0.43 else falling(share, 0.50, 0.80)
        yield Criterion("talk share", 3, points, "kept the conversation balanced", "talk less and listen more")
    if found.monologue is not None:
        yield Criterion(
            "monologues",
            1,
            falling(metrics.longest_monologue_seconds, 90.0, 300.0),
            "kept explanations short",
            "break long explanations up with a question",
            (found.monologue.first_turn,),
        )
    yield Criterion(
        "interruptions",
        1,
        falling(metrics.interruptions / minutes, 0.1, 1.0),
        "let others finish",
        "let others finish before speaking",
        tuple(turn.number for turn in found.interruptions),
    )
    if metrics.patience_seconds is not None:
        yield Criterion(
            "patience",
            1,
            rising(metrics.patience_seconds, 0.0, 0.5),
            "took a moment before answering",
            "wait a moment before answering",
        )
    steps = found.dated_next_steps or found.next_steps
    yield Criterion(
        "next steps",
        2,
        1.0 if found.dated_next_steps else 0.6 if found.next_steps else 0.0,
        "agreed on a next step with a day",
        "agree on a next step with a day before the end",
        tuple(turn.number for turn in steps[-_MOST_EVIDENCE:]),
    )


_DIMENSIONS: dict[str, Callable[[Conversation, Metrics, Findings], Iterator[Criterion]]] = {
    "product_knowledge": _product_knowledge,
    "discovery": _discovery,
    "objection_handling": _objection_handling,
    "engagement": _engagement,
}
