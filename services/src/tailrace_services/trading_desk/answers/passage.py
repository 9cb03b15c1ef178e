"""What answers are made of. Pure: values and the bodies that carry them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tailrace_services.bodies import Body

__all__ = ["AnswerBody", "Outcome", "Passage", "Piece"]

Outcome = Literal["exact", "similar", "miss", "bypass", "none"]
"""How an answer was found; ``none`` where there is no cache."""


class Passage(Body):
    """A piece of a document that was found."""

    citation: Annotated[int, Field(description="Its number in this answer, from 1.")]
    path: Annotated[str, Field(description="The document's name in its corpus.")]
    heading: Annotated[str, Field(description="The headings above it.")]
    text: str
    score: Annotated[float, Field(description="Larger is better; comparable within one answer only.")]


class Piece(Body):
    """A piece of an answer as it is worded; those of an answer make it up as they stand."""

    text: str


class AnswerBody(Body):
    """An answer as a whole."""

    corpus: str
    answer: Annotated[str, Field(description="Ends what it says with the number of the passage that says so.")]
    sources: list[Passage]
    wording: Annotated[str, Field(description="What worded it.")]
    degraded: Annotated[bool, Field(description="Whether it was worded by less than it should have been.")]
