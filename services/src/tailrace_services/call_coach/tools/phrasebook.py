"""Phrases by name, looked for in the words of a text; the lists of ``phrases.toml``. Touches: that file, read once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tailrace_services.call_coach.analyst.conversation import words
from tailrace_services.call_coach.analyst.lexicon import default_lexicon

__all__ = ["Lists", "Phrasebook", "default_lists"]


class Phrasebook:
    """Phrases under names; of those that begin at the same word the longest counts, and what it covers is used up.

    >>> book = Phrasebook({"price": ["cost", "annual contract"], "contract": ["contract"]})
    >>> list(book.find("the annual contract has a cost".split()))
    [('price', 1), ('price', 5)]

    Cost: some 0.1 us a word.
    """

    __slots__ = ("_by_first",)

    def __init__(self, phrases: Mapping[str, Iterable[str]]) -> None:
        by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name, listed in phrases.items():
            for phrase in listed:
                parts = tuple(words(phrase))
                by_first.setdefault(parts[0], []).append((parts, name))
        self._by_first = {
            first: sorted(starting, key=lambda each: -len(each[0])) for first, starting in by_first.items()
        }

    def find(self, said: Sequence[str]) -> Iterator[tuple[str, int]]:
        """The name of each phrase in ``said`` and where it begins, in order; words are in lower case."""
        reached = 0
        for place, word in enumerate(said):
            for parts, name in self._by_first.get(word, ()):
                if place >= reached and tuple(said[place : place + len(parts)]) == parts:
                    yield name, place
                    reached = place + len(parts)
                    break


@dataclass(frozen=True, slots=True)
class Lists:
    """The file, with the metrics' own words for prices and competitors."""

    themes: Phrasebook
    objections: Phrasebook
    sentiment: Phrasebook
    negations: frozenset[str]


@cache
def default_lists() -> Lists:
    """The lists of the file."""
    content = resources.files(__package__).joinpath("phrases.toml").read_text(encoding="utf-8")
    read = tomllib.loads(content)
    lexicon = default_lexicon()
    competition = (*lexicon.competitors.phrases, *lexicon.competition.phrases)
    themes = {"pricing": lexicon.pricing.phrases, "competition": competition, **read["themes"]}
    negations = frozenset(read["sentiment"].pop("negations"))
    return Lists(Phrasebook(themes), Phrasebook(read["objections"]), Phrasebook(read["sentiment"]), negations)
