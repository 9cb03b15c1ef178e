"""The words of ``vocabulary.toml`` and the sentences made of them. Touches: that file, read once a load.

A sentence pool has many fillings of every template of one kind, and of one product where its slots speak of one. Both
templates and words are drawn by a Zipf law.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.wording import fill_templates

__all__ = ["SENTENCE_KINDS", "Pools", "Vocabulary", "fillings", "load_vocabulary", "sentence_pools"]

SENTENCE_KINDS = (
    "greeting",
    "hello",
    "open_question",
    "closed_question",
    "pitch",
    "proof",
    "answer",
    "enthusiasm",
    "objection",
    "objection_response",
    "pricing",
    "pricing_question",
    "competitor",
    "competitor_response",
    "product_question",
    "deflection",
    "next_step",
    "vague_next_step",
    "next_step_answer",
    "backchannel",
    "closing",
)
POOL = 256
"""Sentences of one kind about one product."""
_PRODUCT_SLOTS = ("feature", "pain", "outcome", "jargon")
_KEEPS_CAPITAL = re.compile(r"I\b|I'")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The file, as it is."""

    people: Mapping[str, Sequence[str]]
    accounts: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[str]]
    products: Mapping[str, Mapping[str, Sequence[str]]]
    sentences: Mapping[str, Sequence[str]]
    fillers: Sequence[str]
    emails: Mapping[str, Sequence[str]]
    coaching: Mapping[str, Mapping[str, Sequence[str]]]

    @property
    def product_names(self) -> tuple[str, ...]:
        """The products in the order of the file."""
        return tuple(self.products)


@dataclass(frozen=True, slots=True)
class Pools:
    """Every sentence that can be said: pool ``kind * products + product`` begins at that number times :data:`POOL`.

    Attributes:
        sentences: all pools one after the other, :data:`POOL` sentences each.
        continued: the same sentences as they read behind a filler word: without the capital.
        words: ``(sentences,) int64``, words in each.
    """

    sentences: list[str]
    continued: list[str]
    words: NDArray[np.int64]


def load_vocabulary() -> Vocabulary:
    """Read the file."""
    content = resources.files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = tomllib.loads(content)
    return Vocabulary(**{**parsed, "fillers": parsed["fillers"]["words"]})


def sentence_pools(vocabulary: Vocabulary, random: np.random.Generator) -> Pools:
    """Fill the templates of every kind for every product."""
    proper = {*vocabulary.words["competitor"], *vocabulary.words["integration"]}
    sentences: list[str] = []
    for kind in SENTENCE_KINDS:
        for product in vocabulary.product_names:
            sentences += fillings(vocabulary, vocabulary.sentences[kind], product, POOL, random)
    return Pools(
        sentences,
        [_continued(sentence, proper) for sentence in sentences],
        np.array([len(sentence.split()) for sentence in sentences]),
    )


def fillings(
    vocabulary: Vocabulary, templates: Sequence[str], product: str, count: int, random: np.random.Generator
) -> list[str]:
    """``count`` sentences out of ``templates``, each with its slots filled."""
    words = {**vocabulary.words, **{slot: vocabulary.products[product][slot] for slot in _PRODUCT_SLOTS}}
    return fill_templates(templates, words, count, random)


def _continued(sentence: str, proper: set[str]) -> str:
    if _KEEPS_CAPITAL.match(sentence) or any(sentence.startswith(name) for name in proper):
        return sentence
    return sentence[0].lower() + sentence[1:]
