"""What a transcript says, whatever its format: utterances, and the turns they make. Pure.

**Source:** Sacks, Schegloff and Jefferson, "A simplest systematics for the organization of turn-taking for
conversation", Language 50 (1974): a turn goes on through its speaker's own pauses, and a lapse ends it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["LAPSE_MS", "UNKNOWN_SPEAKER", "Parsed", "Problem", "Utterance", "assemble_turns"]

LAPSE_MS = 3000
"""Silence after which the same speaker's next words are another turn."""
UNKNOWN_SPEAKER = "Unknown speaker"
"""Whoever a transcript does not name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file is refused. ``line`` counts from 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """Some words of one speaker; also a whole turn. Times are milliseconds from the beginning."""

    speaker: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A transcript that was read. With any ``problems`` its utterances are not to be used."""

    format: str
    utterances: tuple[Utterance, ...]
    problems: tuple[Problem, ...]


def assemble_turns(utterances: Iterable[Utterance]) -> list[Utterance]:
    """Turns in order of time: an utterance goes on its speaker's turn unless somebody spoke or all were silent since.

    >>> ann = [Utterance("Ann", 0, 900, "Well,"), Utterance("Ann", 1000, 2000, "yes.")]
    >>> bo = Utterance("Bo", 1900, 2500, "Ah.")
    >>> [(turn.speaker, turn.start_ms, turn.end_ms, turn.text) for turn in assemble_turns([*ann, bo])]
    [('Ann', 0, 2000, 'Well, yes.'), ('Bo', 1900, 2500, 'Ah.')]
    """
    turns: list[Utterance] = []
    for said in sorted(utterances, key=lambda each: (each.start_ms, each.end_ms)):
        last = turns[-1] if turns else None
        if last is not None and last.speaker == said.speaker and said.start_ms - last.end_ms <= LAPSE_MS:
            end = max(last.end_ms, said.end_ms)
            turns[-1] = Utterance(last.speaker, last.start_ms, end, f"{last.text} {said.text}")
        else:
            turns.append(said)
    return turns
