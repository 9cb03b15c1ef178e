"""The sentences of an answer that a language model gives as JSON, each read as soon as it is whole. Pure.

    {"sentences": [{"text": "Tables are locked.", "passages": [2]}, ...]}

What cites a passage that was not found, or none, is no answer; nor is what only looks like a citation.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["SCHEMA", "Sentence", "SentenceReader", "UnfitAnswerError"]

LONGEST_ANSWER = 20_000
"""Characters."""
_OPENING = re.compile(r'\s*\{\s*"sentences"\s*:\s*\[')
_FIRST = re.compile(r"\s*(?=\{)")
_FOLLOWING = re.compile(r"\s*,\s*(?=\{)")
_CLOSING = re.compile(r"\s*\]\s*\}\s*")
_LIKE_A_CITATION = re.compile(r"(?<!\S)\[\d+\]")
_TEXTS = {"text": {"type": "string"}, "passages": {"type": "array", "items": {"type": "integer"}}}
_SENTENCE = {"type": "object", "properties": _TEXTS, "required": list(_TEXTS), "additionalProperties": False}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sentences": {"type": "array", "items": _SENTENCE}},
    "required": ["sentences"],
    "additionalProperties": False,
}
"""What an answer must look like, in the subset of JSON Schema that strict outputs allow: no bounds."""


class UnfitAnswerError(Exception):
    """It is not the answer that was asked for; says why, and nothing of what it says."""


class Sentence(BaseModel):
    """A sentence, and the numbers of the passages that say so, from 1."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    passages: Annotated[list[int], Field(min_length=1, max_length=20)]


class SentenceReader:
    """Takes an answer's text in any pieces.

    Args:
        passages: how many may be cited.
    """

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._decoder = json.JSONDecoder()
        self._held = ""
        self._size = 0
        self._expected = _OPENING
        self._whole = False

    def feed(self, piece: str) -> list[Sentence]:
        """The sentences that ``piece`` completes.

        Raises:
            UnfitAnswerError: one of them is none, cites what was not found, or the answer is too long.
        """
        self._size += len(piece)
        if self._size > LONGEST_ANSWER:
            raise UnfitAnswerError(f"more than {LONGEST_ANSWER} characters")
        self._held += piece
        found: list[Sentence] = []
        if "}" not in piece:
            return found  # nothing ends without one
        while (sentence := self._next()) is not None:
            found.append(sentence)
        return found

    def end(self) -> None:
        """There is no more.

        Raises:
            UnfitAnswerError: that is not the end of an answer.
        """
        if not self._whole or self._held:
            raise UnfitAnswerError("it is not the JSON that was asked for")

    def _next(self) -> Sentence | None:
        """The next sentence, if it is there as a whole."""
        begun = None if self._whole else self._expected.match(self._held)
        if begun is not None and self._expected is _OPENING:
            self._held, self._expected = self._held[begun.end() :], _FIRST
            begun = _FIRST.match(self._held)
        if not self._whole and self._expected is not _OPENING and _CLOSING.fullmatch(self._held):
            self._whole, self._held = True, ""
        elif begun is not None:
            try:
                value, end = self._decoder.raw_decode(self._held, begun.end())
            except (ValueError, RecursionError):
                return None  # more may come; what never becomes JSON is found out at the end
            self._held, self._expected = self._held[end:], _FOLLOWING
            return self._checked(value)
        return None

    def _checked(self, value: Any) -> Sentence:
        try:
            sentence = Sentence.model_validate(value)
        except ValidationError as error:
            raise UnfitAnswerError(f"a sentence with {error.error_count()} mistakes") from None
        if not all(1 <= number <= self._passages for number in sentence.passages):
            raise UnfitAnswerError("it cites a passage that was not found")
        if "\x00" in sentence.text or not sentence.text.strip() or _LIKE_A_CITATION.search(sentence.text):
            raise UnfitAnswerError("a sentence that is none, or has citations of its own")
        return sentence
