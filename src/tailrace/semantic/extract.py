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
from functools import lru_cache

from tailrace.semantic.wording import EMPTY, NEGATIONS, SYNONYMS, folded, is_number, stem, words_of

__all__ = ["Quote", "best_sentences", "sentences"]

_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?![a-z\s])|\n+")
"""Between two sentences; what goes on in a small letter is the same one, as behind ``i.e.``."""
SHORTEST = 15
"""Characters; a shorter piece is a heading or an interjection."""
LONGEST = 600
"""Characters of a sentence that are quoted."""
PLACE = 0.85
"""What a sentence of the next text is worth beside one of the text before."""
ALIKE = 0.8
"""Share of words from which on two sentences say the same."""
REMEMBERED = 512
"""Texts whose sentences are remembered, some 10 KB each: the same ones answer many questions."""
REMEMBERED_WORDS = 16_384
"""Words of which it is remembered what they say."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence and the position, from 0, of the text that it is from."""

    source: int
    sentence: str


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order; very short pieces are left out, very long ones cut.

    >>> sentences("Indexes help readers (i.e. queries). Ha! They cost writers some time.")
    ['Indexes help readers (i.e. queries).', 'They cost writers some time.']
    """
    pieces = (piece.strip() for piece in _END.split(text))
    return [piece[:LONGEST] for piece in pieces if len(piece) >= SHORTEST]


def best_sentences(asked: str, texts: Sequence[str], *, count: int = 3) -> list[Quote]:
    """The sentences that answer best, in the order of their texts, no two that say the same.

    Args:
        asked: the question.
        texts: what was found for it, the best first.

    Cost: 12 microseconds a sentence, 3 where its text answered another question just now.
    """
    read = [(Quote(source, sentence), said) for source, text in enumerate(texts) for sentence, said in _read(text)]
    quotes, words = [quote for quote, _ in read], [said for _, said in read]
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


@lru_cache(REMEMBERED)
def _read(text: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """The sentences of a text, and the words of each."""
    return tuple((sentence, _words(sentence)) for sentence in sentences(text))


def _words(text: str) -> frozenset[str]:
    return frozenset([said for word in words_of(folded(text)) if (said := _said(word)) is not None])


@lru_cache(REMEMBERED_WORDS)
def _said(word: str) -> str | None:
    """What stands for a word and its other forms; None for one that says nothing."""
    if is_number(word):
        return word
    return None if word in EMPTY or word in NEGATIONS else stem(SYNONYMS.get(word, word))


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= ALIKE * max(1, min(len(one), len(other)))
