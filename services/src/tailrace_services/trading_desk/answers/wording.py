"""How an answer is worded from the passages that were found. Pure."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tailrace.semantic import best_sentences
from tailrace_services.trading_desk.answers.passage import Passage

__all__ = ["Anew", "Extractive", "Piece", "Wording"]

SENTENCES = 3
"""Of an extractive answer."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer; those of an answer make it up as they stand.

    Attributes:
        text: a number in brackets names the passage that says so.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Anew:
    """The answer begins anew: the pieces before it are void.

    Attributes:
        wording: what words it from here on.
        degraded: that is less than should have worded it.
    """

    wording: str
    degraded: bool


class Wording(Protocol):
    """Words answers."""

    @property
    def version(self) -> str:
        """Changes when the same passages would be worded otherwise."""
        ...

    @property
    def repeatable(self) -> bool:
        """Whether the same passages are worded alike each time."""
        ...

    def word(self, asked: str, passages: Sequence[Passage]) -> AsyncGenerator[Piece | Anew, None]:
        """The answer, piece by piece."""
        ...


class Extractive:
    """Answers in the passages' own sentences: nothing is made up, and nothing else is needed."""

    version = "extractive-1"
    repeatable = True

    async def word(self, asked: str, passages: Sequence[Passage]) -> AsyncGenerator[Piece | Anew, None]:
        """Each sentence that answers best, with its passage's number."""
        between = ""
        for quote in best_sentences(asked, [passage.text for passage in passages], count=SENTENCES):
            yield Piece(f"{between}{quote.sentence} [{passages[quote.source].citation}]")
            between = " "
