"""Work items and the log of their changes, some thousand at a time, as lines of COPY. Pure.

Number ``i`` of ``n`` was created in the ``i``-th of ``n`` equal parts of the year. A few categories, tags and traders
have most of the items, as in life; all but the newest items are mostly done.

**Source:** Zipf, "Human Behavior and the Principle of Least Effort", 1949 (frequency inversely proportional to rank).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.copy_text import array_literal, moment
from tailrace_services.data.wording import zipf_ranks
from tailrace_services.trading_desk.generator.scale import Scale
from tailrace_services.trading_desk.generator.vocabulary import POOL, Texts, Vocabulary
from tailrace_services.trading_desk.model import PRIORITIES, STATUSES

__all__ = ["AUDIT_COLUMNS", "ITEM_COLUMNS", "YEAR_S", "Making", "item_lines"]

YEAR_S = 365 * 86_400
"""Seconds of the generated time, up to the anchor."""
ITEM_COLUMNS = (
    *("id", "title", "description", "category", "priority", "status", "tags", "metadata", "created_at", "updated_at"),
)
AUDIT_COLUMNS = ("id", "item_id", "trader_id", "action", "changes", "created_at")

_PRIORITY_SHARES = np.cumsum([0.35, 0.40, 0.19, 0.06])
_YOUNG_SHARES = np.cumsum([0.55, 0.25, 0.10, 0.10])
_OLD_SHARES = np.cumsum([0.05, 0.02, 0.01, 0.92])
"""Of each status, among items of the last two weeks and among others."""
_YOUNG_S = 14 * 86_400
_MOST_TAGS, _MOST_SENTENCES = 5, 6


@dataclass(frozen=True, slots=True)
class Making:
    """What all lines are made from. ``anchor`` is the end of the year, seconds since 1970."""

    scale: Scale
    seed: int
    anchor: int
    vocabulary: Vocabulary
    texts: Texts


def item_lines(making: Making, run: slice, first_entry: int) -> tuple[list[str], list[str]]:
    """Lines of ``items`` in :data:`ITEM_COLUMNS`, and of ``audit_log`` in :data:`AUDIT_COLUMNS`.

    Args:
        run: the positions of the items, from 0.
        first_entry: number of the first line of the log.
    """
    random = np.random.default_rng([making.seed, 1, run.start])
    size = run.stop - run.start
    part = YEAR_S / making.scale.items
    position = np.arange(run.start, run.stop) + random.random(size)
    created = making.anchor - YEAR_S + (position * part).astype(np.int64)
    young = created > making.anchor - _YOUNG_S
    drawn = random.random(size)
    status = np.where(young, np.searchsorted(_YOUNG_SHARES, drawn), np.searchsorted(_OLD_SHARES, drawn))
    later = np.minimum(created + 1 + (random.exponential(2.0, size) * 86_400).astype(np.int64), making.anchor)
    fields = (
        created,
        np.where(status > 0, later, created),
        zipf_ranks(random.random(size), len(making.vocabulary.categories)),
        np.minimum(np.searchsorted(_PRIORITY_SHARES, random.random(size)), len(PRIORITIES) - 1),
        np.minimum(status, len(STATUSES) - 1),
        zipf_ranks(random.random(size), making.scale.traders),
        random.integers(0, POOL, (size, _MOST_SENTENCES + 1)),
        np.minimum(random.geometric(0.4, size), _MOST_SENTENCES),
        zipf_ranks(random.random((size, _MOST_TAGS)), len(making.vocabulary.words["tag"])),
        np.minimum(random.geometric(0.45, size) - 1, _MOST_TAGS),
        _draw(making, "asset", size, random),
        _draw(making, "source", size, random),
        random.integers(1, 14, size),
    )
    items: list[str] = []
    entries: list[str] = []
    for number, row in enumerate(zip(*(field.tolist() for field in fields), strict=True), run.start + 1):
        item, changes = _lines(making, number, *row)
        items.append(item)
        for change in changes:
            entries.append(f"{first_entry + len(entries)}\t{change}")
    return items, entries


def _draw(making: Making, words: str, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    return zipf_ranks(random.random(size), len(making.vocabulary.words[words]))


def _lines(
    making: Making,
    number: int,
    created: int,
    updated: int,
    category: int,
    priority: int,
    status: int,
    trader: int,
    drawn: list[int],
    sentences: int,
    tags_drawn: list[int],
    tag_count: int,
    asset: int,
    source: int,
    effort: int,
) -> tuple[str, Iterator[str]]:
    """An item's line, and those of the log without their numbers."""
    words = making.vocabulary.words
    name = list(making.vocabulary.categories)[category]
    title = making.texts.titles[category][drawn[0]]
    description = " ".join(making.texts.sentences[category][index] for index in drawn[1 : sentences + 1])
    tags = [words["tag"][tag] for tag in dict.fromkeys(tags_drawn[:tag_count])]
    details = {"asset": words["asset"][asset], "source": words["source"][source], "hours": effort}
    line = (
        f"{number}\t{title}\t{description}\t{name}\t{priority + 1}\t{STATUSES[status]}\t{array_literal(tags)}\t"
        f"{json.dumps(details)}\t{moment(created)}\t{moment(updated)}\n"
    )
    first = {
        "title": title,
        "description": description,
        "category": name,
        "priority": PRIORITIES[priority],
        "status": STATUSES[0],
        "tags": tags,
        "metadata": details,
    }

    def entries() -> Iterator[str]:
        changes = json.dumps({field: [None, value] for field, value in first.items()})
        yield f"{number}\t{trader + 1}\tcreated\t{changes}\t{moment(created)}\n"
        if status:
            changes = json.dumps({"status": [STATUSES[0], STATUSES[status]]})
            who = (trader + number) % making.scale.traders + 1
            yield f"{number}\t{who}\tchanged\t{changes}\t{moment(updated)}\n"

    return line, entries()
