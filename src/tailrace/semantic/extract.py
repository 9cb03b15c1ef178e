"""Answers made of the sources' own sentences. Pure.

Nothing is invented: each sentence stands in the text it is quoted from. It is chosen by the question's words that it
has, the rarer among the candidates the better, and by the place of its text. Where no sentence has any of them the best
texts' first sentences stand.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.semantic.guards import question
from tailrace.semantic.wording import stem

__all__ = ["Quote", "best_sentences", "sentences"]

_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|\n+")
SHORTEST = 15
"""Characters; a shorter piece is a heading or an interjection."""
LONGEST = 600
"""Characters of a sentence that are quoted."""
PLACE = 0.85
"""What a sentence of the next text is worth beside one of the text before."""
ALIKE = 0.8
"""Share of words from which on two sentences say the same."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence and the position, from 0, of the text that it is from."""

    source: int
    sentence: str


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order; very short pieces are left out, very long ones cut.

    >>> sentences("Indexes help readers. Ha! They cost writers some time.")
    ['Indexes help readers.', 'They cost writers some time.']
    """
    pieces = (piece.strip() for piece in _END.split(text))
    return [piece[:LONGEST] for piece in pieces if len(piece) >= SHORTEST]


def best_sentences(asked: str, texts: Sequence[str], *, count: int = 3) -> list[Quote]:
    """The sentences that answer best, in the order of their texts, no two that say the same.

    Args:
        asked: the question.
        texts: what was found for it, the best first.

    Cost: 20 microseconds a sentence.
    """
    quotes = [Quote(source, sentence) for source, text in enumerate(texts) for sentence in sentences(text)]
    words = [_words(quote.sentence) for quote in quotes]
    known = Counter(word for each in words for word in each)
    wanted = _words(asked)
    worth = {word: math.log(1 + len(quotes) / known[word]) for word in wanted if word in known}

    def value(at: int) -> tuple[float, int]:
        said = sum(worth.get(word, 0.0) for word in words[at])
        return said * PLACE ** quotes[at].source / (8 + len(words[at])), -at

    chosen: list[int] = []
    for at in sorted(range(len(quotes)), key=value, reverse=True):
        if len(chosen) < count and not any(_alike(words[at], words[other]) for other in chosen):
            chosen.append(at)
    return [quotes[at] for at in sorted(chosen)]


def _words(text: str) -> frozenset[str]:
    prepared = question(text)
    return frozenset((*(stem(word) for word in prepared.content), *prepared.numbers))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * max(1, min(len(one), len(other)))
