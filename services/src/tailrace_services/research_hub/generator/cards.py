"""Cards and their attributions, some thousand at a time, as lines of COPY. Pure.

A card is about a post that was there by then, mostly a new one, and goes back to it and to a few before it; its weights
add up to 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.copy_text import NULL, moment
from tailrace_services.research_hub.generator.people import People
from tailrace_services.research_hub.generator.posts import moments
from tailrace_services.research_hub.generator.vocabulary import POOL, Texts

__all__ = ["ATTRIBUTION_COLUMNS", "CARD_COLUMNS", "card_lines"]

CARD_COLUMNS = ("id", "user_id", "content_id", "title", "body", "published_at", "created_at")
ATTRIBUTION_COLUMNS = ("id", "card_id", "content_id", "weight")
_PUBLISHED = 0.85
_MOST_SOURCES = 5
_WEIGHTS = 10_000
"""What the weights of a card add up to, in units of the last digit that is kept."""


def card_lines(
    people: People,
    texts: Texts,
    about: NDArray[np.int8],
    run: slice,
    first_attribution: int,
    anchor: int,
    random: np.random.Generator,
) -> tuple[list[str], list[str]]:
    """Lines of ``cards`` in :data:`CARD_COLUMNS`, and of ``attributions`` in :data:`ATTRIBUTION_COLUMNS`.

    Args:
        about: the topic of every post.
        first_attribution: number of the first.
    """
    size, total = run.stop - run.start, people.scale.cards
    created = moments(run, total, anchor, random)
    users = np.searchsorted(people.cards, random.random(size), side="right")
    # As many posts as had been collected by then; the more recent, the more likely.
    there = np.maximum(np.arange(run.start, run.stop) * people.scale.contents // total, 1)
    contents = there - (there * random.random(size) ** 4).astype(np.int64)
    published = created + (random.exponential(0.5, size) * 86_400).astype(np.int64)
    shown = (random.random(size) < _PUBLISHED) & (published <= anchor)
    topic = about[contents - 1]
    drawn = random.integers(0, POOL, (size, 4))
    fields = (users, contents, created, np.where(shown, published, 0), topic)
    rows = zip(*(field.tolist() for field in fields), drawn.tolist(), strict=True)
    lines: list[str] = []
    for number, (user, content, moment_made, moment_shown, kind, texts_drawn) in enumerate(rows, run.start + 1):
        title, *said = texts_drawn
        body = " ".join(texts.body[kind][index] for index in said)
        lines.append(
            f"{number}\t{user + 1}\t{content}\t{texts.card[kind][title]}\t{body}\t"
            f"{moment(moment_shown) if moment_shown else NULL}\t{moment(moment_made)}\n"
        )
    return lines, list(_attribution_lines(contents, run.start + 1, first_attribution, random))


def _attribution_lines(
    contents: NDArray[np.int64], first_card: int, first_id: int, random: np.random.Generator
) -> Iterator[str]:
    size = contents.size
    sources = np.minimum(random.geometric(0.55, size), _MOST_SOURCES)
    before = np.cumsum(random.geometric(0.02, (size, _MOST_SOURCES - 1)), axis=1)
    parts = random.integers(1, 10, (size, _MOST_SOURCES))
    number = first_id
    rows = zip(contents.tolist(), sources.tolist(), before.tolist(), parts.tolist(), strict=True)
    for card, (content, count, steps, weights) in enumerate(rows, first_card):
        cited = [content, *(content - step for step in steps[: count - 1] if step < content)]
        left, sum_left = _WEIGHTS, sum(weights[: len(cited)])
        for source, weight in zip(cited, weights, strict=False):
            share = left * weight // sum_left
            left, sum_left = left - share, sum_left - weight
            yield f"{number}\t{card}\t{source}\t{share / _WEIGHTS:.4f}\n"
            number += 1
