"""What an analysis of a call is, who makes one, and the analyst that needs no network. Pure.

**Source:** the definitions in the modules of each metric, and the rubric.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from tailrace_services.call_coach.analyst.conversation import Conversation, Turn
from tailrace_services.call_coach.analyst.metrics import Metrics, find, measure
from tailrace_services.call_coach.analyst.rubric import RUBRIC_VERSION, score

__all__ = ["Analysis", "Analyst", "ConversationMetrics", "Dimension", "Evidence", "quoted"]

QUOTE_CHARACTERS = 280
"""Most characters of a quotation."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Words of the call itself. Times are milliseconds from its beginning."""

    sequence_number: int
    start_ms: int
    end_ms: int
    speaker: str
    quote: str


@dataclass(frozen=True, slots=True)
class Dimension:
    """How a representative did in one dimension: 0..100, or None if the call gave no occasion."""

    dimension: str
    score: int | None
    strengths: tuple[str, ...]
    improvements: tuple[str, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """An analysis of a call. ``degraded``: another analyst was asked and could not answer."""

    analyst: str
    rubric_version: str
    dimensions: tuple[Dimension, ...]
    metrics: Metrics
    degraded: bool = False


class Analyst(Protocol):
    """Who analyses calls."""

    @property
    def rubric_version(self) -> str:
        """What the scores are given by; the same call, transcript and version have one analysis."""

    async def analyse(self, conversation: Conversation) -> Analysis:
        """Analyse one call.

        Raises: nothing for a conversation of any content; an analyst that depends on others falls back.
        """


class ConversationMetrics:
    """The default analyst: every figure from turns and times, every score from figures. Same input, same output."""

    rubric_version = RUBRIC_VERSION

    async def analyse(self, conversation: Conversation) -> Analysis:
        """Analyse one call. Cost: some 0.3 ms a turn of 100 words, on another thread."""
        return await asyncio.to_thread(self._analyse, conversation)

    def _analyse(self, conversation: Conversation) -> Analysis:
        found = find(conversation)
        metrics = measure(conversation, found)
        turns = {turn.number: turn for turn in conversation.turns}
        dimensions = tuple(
            Dimension(
                each.dimension,
                each.score,
                each.strengths,
                each.improvements,
                tuple(quoted(turns[number]) for number in each.evidence),
            )
            for each in score(conversation, metrics, found)
        )
        return Analysis("conversation_metrics", self.rubric_version, dimensions, metrics)


def quoted(turn: Turn) -> Evidence:
    """The words of a turn, cut at a word where they are too long."""
    quote = turn.text
    if len(quote) > QUOTE_CHARACTERS:
        quote = quote[: QUOTE_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
    return Evidence(turn.number, turn.start_ms, turn.end_ms, turn.speaker, quote)
