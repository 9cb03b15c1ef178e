"""The words of ``vocabulary.toml`` and the texts made of them. Touches: that file, read once a load."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from tailrace_services.data.wording import fill_templates

__all__ = ["POOL", "Texts", "Vocabulary", "load_vocabulary", "make_texts"]

POOL = 2048
"""Texts of one kind in one category."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The file, as it is. ``prices`` are those of assets before they begin to walk."""

    people: Mapping[str, Sequence[str]]
    words: Mapping[str, Sequence[str]]
    prices: Mapping[str, str]
    categories: Mapping[str, Mapping[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Texts:
    """For each category in the order of the file, :data:`POOL` titles and sentences."""

    titles: Sequence[Sequence[str]]
    sentences: Sequence[Sequence[str]]


def load_vocabulary() -> Vocabulary:
    """Read the file."""
    content = resources.files(__package__).joinpath("vocabulary.toml").read_text(encoding="utf-8")
    parsed: dict[str, Any] = tomllib.loads(content)
    return Vocabulary(**parsed)


def make_texts(vocabulary: Vocabulary, random: np.random.Generator) -> Texts:
    """Fill the templates of every category."""

    def filled(kind: str) -> list[list[str]]:
        own = vocabulary.categories.values()
        return [fill_templates(category[kind], vocabulary.words, POOL, random) for category in own]

    return Texts(filled("title"), filled("sentence"))
