"""All conversation metrics of one call. Pure: each is computed by the module named for it, by the definition there."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_services.call_coach.analyst.answers import Answer, answers
from tailrace_services.call_coach.analyst.conversation import Conversation, Turn
from tailrace_services.call_coach.analyst.fillers import fillers_per_minute
from tailrace_services.call_coach.analyst.interactivity import switches_per_minute
from tailrace_services.call_coach.analyst.interruptions import interruptions
from tailrace_services.call_coach.analyst.mentions import (
    competitor_mentions,
    dated_next_steps,
    next_steps,
    pricing_mentions,
)
from tailrace_services.call_coach.analyst.monologue import Monologue, longest_monologue
from tailrace_services.call_coach.analyst.objections import Objection, objections
from tailrace_services.call_coach.analyst.pace import words_per_minute
from tailrace_services.call_coach.analyst.patience import patience
from tailrace_services.call_coach.analyst.questions import Question, questions
from tailrace_services.call_coach.analyst.talk import listening_ms, speaking_ms, talk_share

__all__ = ["METRICS_VERSION", "Findings", "Metrics", "find", "measure"]

METRICS_VERSION = "metrics-1"
"""Of the definitions; any change of one is another version, because stored figures would not be comparable."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of a call. None where there is nothing to measure: nobody speaks, nobody answers, nobody asks.

    Attributes:
        speaking_seconds: of representatives; ``listening_seconds``: of everybody else.
        talk_share: 0..1, of representatives.
        longest_monologue_seconds: of a representative; ``longest_customer_story_seconds``: of somebody else.
        interruptions: by representatives; ``interrupted``: of representatives by others.
        questions: by representatives; ``questions_asked_back``: by others.
        open_question_share: 0..1, of the representatives' questions.
        patience_seconds: median wait before representatives answer.
        fillers_per_minute, words_per_minute: of the representatives' speaking time.
        switches_per_minute: between the sides.
        next_steps, dated_next_steps, pricing_mentions, competitor_mentions: turns.
        objections: turns; ``objections_handled``: those acknowledged, explored or answered with evidence.
        questions_answered: turns of others that ask and get an answer; ``questions_due``: all that ask.
    """

    speaking_seconds: float
    listening_seconds: float
    talk_share: float | None
    longest_monologue_seconds: float
    longest_customer_story_seconds: float
    interruptions: int
    interrupted: int
    questions: int
    questions_asked_back: int
    open_question_share: float | None
    patience_seconds: float | None
    fillers_per_minute: float | None
    words_per_minute: float | None
    switches_per_minute: float | None
    next_steps: int
    dated_next_steps: int
    pricing_mentions: int
    competitor_mentions: int
    objections: int
    objections_handled: int
    questions_due: int
    questions_answered: int


@dataclass(frozen=True, slots=True)
class Findings:
    """The moments behind the figures, for evidence."""

    monologue: Monologue | None
    customer_story: Monologue | None
    interruptions: list[Turn]
    interrupted: list[Turn]
    questions: list[Question]
    asked_back: list[Question]
    next_steps: list[Turn]
    dated_next_steps: list[Turn]
    pricing: list[Turn]
    competitors: list[Turn]
    objections: list[Objection]
    answers: list[Answer]


def find(conversation: Conversation) -> Findings:
    """Look for everything. Cost: a few passes over the turns, some 0.3 ms a turn."""
    return Findings(
        monologue=longest_monologue(conversation, of_rep=True),
        customer_story=longest_monologue(conversation, of_rep=False),
        interruptions=interruptions(conversation, by_rep=True),
        interrupted=interruptions(conversation, by_rep=False),
        questions=questions(conversation, of_rep=True),
        asked_back=questions(conversation, of_rep=False),
        next_steps=next_steps(conversation),
        dated_next_steps=dated_next_steps(conversation),
        pricing=pricing_mentions(conversation),
        competitors=competitor_mentions(conversation),
        objections=objections(conversation),
        answers=answers(conversation),
    )


def measure(conversation: Conversation, found: Findings | None = None) -> Metrics:
    """The figures of ``conversation``, ``found`` being what :func:`find` found in it."""
    found = found or find(conversation)
    asked = len(found.questions)
    return Metrics(
        speaking_seconds=speaking_ms(conversation) / 1000,
        listening_seconds=listening_ms(conversation) / 1000,
        talk_share=talk_share(conversation),
        longest_monologue_seconds=found.monologue.length_ms / 1000 if found.monologue else 0.0,
        longest_customer_story_seconds=found.customer_story.length_ms / 1000 if found.customer_story else 0.0,
        interruptions=len(found.interruptions),
        interrupted=len(found.interrupted),
        questions=asked,
        questions_asked_back=len(found.asked_back),
        open_question_share=sum(question.open for question in found.questions) / asked if asked else None,
        patience_seconds=patience(conversation),
        fillers_per_minute=fillers_per_minute(conversation),
        words_per_minute=words_per_minute(conversation),
        switches_per_minute=switches_per_minute(conversation),
        next_steps=len(found.next_steps),
        dated_next_steps=len(found.dated_next_steps),
        pricing_mentions=len(found.pricing),
        competitor_mentions=len(found.competitors),
        objections=len(found.objections),
        objections_handled=sum(objection.handled for objection in found.objections),
        questions_due=len(found.answers),
        questions_answered=sum(answer.turn is not None for answer in found.answers),
    )
