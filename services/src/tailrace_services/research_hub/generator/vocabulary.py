"""The words of ``vocabulary.toml`` and the texts made of them. Touches: that file, read once a load."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from tailrace_services.data.wording import fill_templates

__all__ = ["KINDS", "POOL", "Texts", "Vocabulary", "load_vocabulary", "make_texts"]

KINDS = ("title", "body", "card", "pattern", "question")
POOL = 2048
"""Texts of one kind about one topic."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The file, as it is."""

    people: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[str]]
    topics: Mapping[str, Mapping[str, Sequence[str]]]
    sentences: Mapping[str, Sequence[str]]

    @property
    def platforms(self) -> Sequence[str]:
        """Where posts are collected, those with the most posts first."""
        return self.words["platform"]


@dataclass(frozen=True, slots=True)
class Texts:
    """Of each kind, for each topic in the order of the file, :data:`POOL` texts."""

    title: Sequence[Sequence[str]]
    body: Sequence[Sequence[str]]
    card: Sequence[Sequence[str]]
    pattern: Sequence[Sequence[str]]
    question: Sequence[Sequence[str]]


def load_vocabulary() -> Vocabulary:
    """Read the file."""
    content = resources.files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = tomllib.loads(content)
    return Vocabulary(**parsed)


def make_texts(vocabulary: Vocabulary, random: np.random.Generator) -> Texts:
    """Fill the templates of every kind for every topic."""
    return Texts(
        **{
            kind: [
                fill_templates(vocabulary.sentences[kind], {**vocabulary.words, **topic}, POOL, random)
                for topic in vocabulary.topics.values()
            ]
            for kind in KINDS
        }
    )
