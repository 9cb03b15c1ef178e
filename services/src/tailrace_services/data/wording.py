"""Sentences out of templates with slots, as generated rows have them. Pure.

Templates and words are drawn by a Zipf law, so that a few are everywhere and most are rare, as in real language.

**Source:** Zipf, "Human Behavior and the Principle of Least Effort", 1949 (frequency inversely proportional to rank).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_templates", "zipf_ranks"]

_MOST_SLOTS = 4
"""Most slots in one template."""
_SLOT = re.compile(r"\{(\w+)\}")


def zipf_ranks(uniform: NDArray[np.float64], values: int) -> NDArray[np.int64]:
    """Ranks in ``0..values-1`` out of uniform draws in ``[0, 1)``; rank ``r`` comes in proportion to about ``1/(r+1)``.

    >>> zipf_ranks(np.array([0.0, 0.5, 0.999]), 9).tolist()
    [0, 2, 8]
    """
    return ((values + 1.0) ** uniform).astype(np.int64) - 1


def fill_templates(
    templates: Sequence[str], words: Mapping[str, Sequence[str]], count: int, random: np.random.Generator
) -> list[str]:
    """``count`` sentences out of ``templates``, each slot filled with one of the words of its name.

    Args:
        templates: with at most four slots each, as in ``"Why {team} needs {feature}"``.
        words: by the names of slots.
    """
    drawn = iter(random.random(count * _MOST_SLOTS).tolist())
    chosen = zipf_ranks(random.random(count), len(templates)).tolist()

    def word(match: re.Match[str]) -> str:
        options = words[match[1]]
        return options[int((len(options) + 1.0) ** next(drawn)) - 1]

    filled = (_SLOT.sub(word, templates[template]) for template in chosen)
    return [sentence[0].upper() + sentence[1:] for sentence in filled]
