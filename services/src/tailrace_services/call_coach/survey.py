"""What the metrics make of many transcripts: how each figure is spread. Touches: the files it is given.

It is what the tables of the reference are made with, and how to see whether a rubric's bounds suit calls of your own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from tailrace_services.call_coach.analyst import Analysis, Conversation, ConversationMetrics, Metrics, Turn
from tailrace_services.call_coach.importer.call import Description, ImportedCall, make_call
from tailrace_services.call_coach.importer.load import BrokenTranscript, TranscriptsRejectedError
from tailrace_services.call_coach.importer.source import parse_transcript, read_sources
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.data.loading import Progress

__all__ = ["Spread", "Survey", "survey"]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is spread over the calls that have it. With one call, all five are its figure."""

    name: str
    calls: int
    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float


@dataclass(frozen=True, slots=True)
class Survey:
    """The spread of every metric and of every dimension's score."""

    calls: int
    turns: int
    spreads: tuple[Spread, ...]

    def lines(self) -> list[str]:
        """A table in Markdown."""
        head = "| figure | calls | least | 1st quartile | median | 3rd quartile | most |"
        rows = [
            f"| {each.name.replace('_', ' ')} | {each.calls} | "
            + " | ".join(
                _figure(value)
                for value in (each.least, each.lower_quartile, each.median, each.upper_quartile, each.most)
            )
            + " |"
            for each in self.spreads
        ]
        return [f"{self.calls} calls, {self.turns:,} turns", "", head, "|---|" + "---:|" * 6, *rows]


async def survey(
    paths: list[Path], description: Description, progress: Progress = lambda phase, done, total: None
) -> Survey:
    """Analyse every transcript in the files.

    Raises:
        TranscriptFileError: a file cannot be read, or holds no transcript.
        TranscriptsRejectedError: a transcript is broken.
    """
    analyst = ConversationMetrics()
    analyses: list[Analysis] = []
    turns = 0
    for call in _calls(paths, description, progress):
        turns += len(call.turns)
        analyses.append(await analyst.analyse(_conversation(call)))
    figures: dict[str, list[float]] = {field.name: [] for field in dataclasses.fields(Metrics)}
    figures |= {f"score: {dimension}": [] for dimension in DIMENSIONS}
    for analysis in analyses:
        found = dataclasses.asdict(analysis.metrics)
        found |= {f"score: {each.dimension}": each.score for each in analysis.dimensions}
        for name, value in found.items():
            if value is not None:
                figures[name].append(float(value))
    return Survey(len(analyses), turns, tuple(_spread(name, values) for name, values in figures.items() if values))


def _calls(paths: list[Path], description: Description, progress: Progress) -> Iterator[ImportedCall]:
    for source in read_sources(paths, progress):
        parsed = parse_transcript(source)
        if parsed.problems:
            broken = BrokenTranscript(source.name, parsed.problems)
            raise TranscriptsRejectedError("1 transcript is broken; no survey was made", (broken,))
        yield make_call(parsed, source.path, source.modified, description)


def _conversation(call: ImportedCall) -> Conversation:
    return Conversation.of(
        Turn(number, turn.speaker, call.sides[turn.speaker], turn.start_ms, turn.end_ms, turn.text)
        for number, turn in enumerate(call.turns, 1)
    )


def _spread(name: str, values: list[float]) -> Spread:
    lower, middle, upper = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return Spread(name, len(values), min(values), lower, middle, upper, max(values))


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
