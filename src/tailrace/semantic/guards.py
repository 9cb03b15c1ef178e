"""Whether two questions whose vectors are close ask for the same thing. Pure.

Closeness alone takes a negation, another number or another name for a detail. Here two texts are compared word by word
after what says nothing has been left out: what then is in one and not in the other must be a slip of the pen, another
form of the same word, or a synonym. Everything else is a reason to compute a fresh answer, and has a name.

Names are words that nobody listed; typing them in lower case changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tailrace.semantic.wording import (
    DIRECTIONS,
    EMPTY,
    NEGATIONS,
    SYNONYMS,
    folded,
    is_number,
    opposite,
    stem,
    words_of,
)

__all__ = ["Question", "Veto", "question", "veto"]

Veto = Literal["numbers", "negation", "opposite", "direction", "words", "scope"]
"""Why a close answer is not served: other numbers or dates; negated or not; a word's contrary; sides exchanged; another
word in its place; more or less is asked for."""

SHORTEST_SLIP = 5
"""Letters of a word in which one wrong letter is taken for a slip; below, it may be another word."""


@dataclass(frozen=True, slots=True)
class Question:
    """A text prepared for comparison. Each field in the order of the text."""

    folded: str
    numbers: tuple[str, ...]
    negations: int
    content: tuple[str, ...]
    sides: tuple[tuple[str, str], ...]
    """What follows each word of direction."""


def question(text: str) -> Question:
    """Prepare a text. Cost: 20 microseconds for a dozen words."""
    plain = folded(text)
    words = words_of(plain)
    content = tuple(SYNONYMS.get(w, w) for w in words if not _is_empty(w) and not is_number(w))
    return Question(
        plain,
        tuple(word for word in words if is_number(word)),
        sum(word in NEGATIONS for word in words),
        content,
        tuple(_sides(words)),
    )


def veto(asked: Question, kept: Question) -> Veto | None:
    """Why the answer to ``kept`` must not be served to who asks ``asked``, or None. Symmetric.

    Cost: 10 to 50 microseconds.
    """
    if asked.folded == kept.folded:
        return None
    if Counter(asked.numbers) != Counter(kept.numbers):
        return "numbers"
    if asked.negations != kept.negations:
        return "negation"
    only_asked, only_kept = _left_over(asked.content, kept.content)
    if any(opposite(one, other) for one in only_asked for other in only_kept):
        return "opposite"
    only_asked, only_kept = _without_slips(only_asked, only_kept)
    if only_asked and only_kept:
        return "words"
    if only_asked or only_kept:
        return "scope"
    if _exchanged(asked, kept):
        return "direction"
    return None


def _is_empty(word: str) -> bool:
    return word in EMPTY or word in NEGATIONS


def _sides(words: Sequence[str]) -> list[tuple[str, str]]:
    """Each word of direction with the next word that says something."""
    found = []
    for at, word in enumerate(words):
        following = next((w for w in words[at + 1 :] if not _is_empty(w)), None)
        if word in DIRECTIONS and following is not None:
            found.append((word, SYNONYMS.get(following, following)))
    return found


def _exchanged(asked: Question, kept: Question) -> bool:
    """True if what stands behind a word of direction in one stands behind none, or another, in the other."""
    one, other = dict(asked.sides), dict(kept.sides)
    shared = [word for word in one if word in other]
    moved = [word for word in shared if not _same(one[word], other[word]) and one[word] in kept.content]
    return bool(moved) or asked.numbers != kept.numbers


def _left_over(one: Sequence[str], other: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is in one and not in the other, as often as it is."""
    left, right = Counter(one), Counter(other)
    # A word said twice says no more than once.
    return [word for word in left if word not in right], [word for word in right if word not in left]


def _without_slips(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    """Pair off words that are one word in two forms, or one of them misspelt."""
    remaining = list(other)
    unpaired = []
    for word in one:
        partner = next((candidate for candidate in remaining if _same(word, candidate)), None)
        if partner is None:
            unpaired.append(word)
        else:
            remaining.remove(partner)
    return unpaired, remaining


def _same(one: str, other: str) -> bool:
    return one == other or stem(one) == stem(other) or _slip(one, other)


def _slip(one: str, other: str) -> bool:
    """True if one letter was left out, added, changed or exchanged with the next, in a word long enough to show it.

    The first letter is hardly ever wrong, and makes another word when it is.
    """
    if min(len(one), len(other)) < SHORTEST_SLIP or abs(len(one) - len(other)) > 1 or one[0] != other[0]:
        return False
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    exchanged = one[at : at + 2] == other[at : at + 2][::-1] and one[at + 2 :] == other[at + 2 :]
    changed = one[at + 1 :] == other[at + 1 :]
    return exchanged or changed or one[at + 1 :] == other[at:] or one[at:] == other[at + 1 :]
