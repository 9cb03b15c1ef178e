"""A conversation as the metrics see it: turns in order, who is on which side, words. Pure.

**Source:** Sacks, Schegloff and Jefferson, "A simplest systematics for the organization of turn-taking for
conversation", Language 50 (1974), for turns; Yngve, "On getting a word in edgewise" (1970), for back channels: short
signs of listening that do not claim the floor.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tailrace_services.call_coach.analyst.lexicon import Lexicon, default_lexicon

__all__ = ["Conversation", "Turn", "sentences", "words"]

REP, PROSPECT = "rep", "prospect"
BACKCHANNEL_WORDS = 3
"""Most words in a back channel."""
_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_SOUND = re.compile(r"\[[^\[\]]*\]")
_SENTENCE = re.compile(r"[^.!?…]+[.!?…]*(?:[\"')\]]+)?|[.!?…]+")


def words(text: str) -> list[str]:
    """Words in lower case; sounds in brackets, like ``[laugh]``, are none.

    >>> words("Well, that's 3.5 [laugh] follow-ups.")
    ['well', "that's", '3.5', 'follow-ups']
    """
    return _WORD.findall(_SOUND.sub(" ", text).replace("’", "'").lower())


def sentences(text: str) -> list[str]:
    """The sentences of a text, each with the mark it ends with.

    >>> sentences("Yes. How do you do it? Well")
    ['Yes.', 'How do you do it?', 'Well']
    """
    return [found for match in _SENTENCE.findall(text) if (found := match.strip())]


@dataclass(frozen=True)
class Turn:
    """What one speaker said. Times are milliseconds; ``side`` is ``rep``, ``prospect`` or ``partner``."""

    number: int
    speaker: str
    side: str
    start_ms: int
    end_ms: int
    text: str

    @cached_property
    def words(self) -> list[str]:
        """The words, see :func:`words`."""
        return words(self.text)

    @property
    def length_ms(self) -> int:
        """How long it took."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True)
class Conversation:
    """Turns in order of their start. Everybody who is not a representative listens to one."""

    turns: tuple[Turn, ...]
    lexicon: Lexicon

    @classmethod
    def of(cls, turns: Iterable[Turn], lexicon: Lexicon | None = None) -> Conversation:
        """A conversation of ``turns`` in any order.

        Raises:
            ValueError: a turn ends before it starts.
        """
        ordered = tuple(sorted(turns, key=lambda turn: (turn.start_ms, turn.number)))
        for turn in ordered:
            if turn.end_ms < turn.start_ms:
                raise ValueError(f"turn {turn.number} ends before it starts")
        return cls(ordered, lexicon or default_lexicon())

    def of_rep(self) -> Iterator[Turn]:
        """Turns of representatives."""
        return (turn for turn in self.turns if turn.side == REP)

    def of_others(self) -> Iterator[Turn]:
        """Turns of everybody else."""
        return (turn for turn in self.turns if turn.side != REP)

    def is_backchannel(self, turn: Turn) -> bool:
        """Whether a turn only shows that somebody listens: three words at most, and none that says more."""
        return len(turn.words) <= BACKCHANNEL_WORDS and all(word in self.lexicon.backchannels for word in turn.words)

    @property
    def span_ms(self) -> int:
        """From the first word to the last."""
        if not self.turns:
            return 0
        return max(turn.end_ms for turn in self.turns) - self.turns[0].start_ms
