"""Patterns and research sessions as lines of COPY. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.copy_text import moment
from tailrace_services.data.wording import zipf_ranks
from tailrace_services.research_hub.generator.people import People
from tailrace_services.research_hub.generator.posts import moments
from tailrace_services.research_hub.generator.vocabulary import POOL, Texts
from tailrace_services.research_hub.model import PATTERN_TYPES

__all__ = ["PATTERN_COLUMNS", "SESSION_COLUMNS", "pattern_lines", "session_lines"]

PATTERN_COLUMNS = ("id", "type", "description", "confidence_score", "discovered_at", "content_ids")
SESSION_COLUMNS = ("id", "user_id", "query", "status", "created_at")
_MOST_POSTS = 12
_WAITING_S = 3600
"""Sessions younger than this, in seconds, wait or run."""


def pattern_lines(people: People, texts: Texts, about: NDArray[np.int8], anchor: int) -> Iterator[str]:
    """Lines of ``patterns`` in :data:`PATTERN_COLUMNS`; ``about`` is the topic of every post."""
    random = np.random.default_rng([people.seed, 4])
    size, contents = people.scale.patterns, people.scale.contents
    discovered = moments(slice(0, size), size, anchor, random)
    newest = np.maximum(np.arange(size) * contents // size, 1)
    kinds = zipf_ranks(random.random(size), len(PATTERN_TYPES))
    confidence = random.beta(4.0, 2.0, size)
    counts = random.integers(3, _MOST_POSTS + 1, size)
    steps = np.cumsum(random.geometric(0.05, (size, _MOST_POSTS)), axis=1)
    drawn = random.integers(0, POOL, size)
    fields = (discovered, newest, kinds, confidence, counts, steps, drawn)
    rows = zip(*(field.tolist() for field in fields), strict=True)
    for number, (when, last, kind, sure, count, back, text) in enumerate(rows, 1):
        posts = [last, *(last - step for step in back[: count - 1] if step < last)]
        listed = "{" + ",".join(map(str, sorted(posts))) + "}"
        description = texts.pattern[about[last - 1]][text]
        yield f"{number}\t{PATTERN_TYPES[kind]}\t{description}\t{sure:.3f}\t{moment(when)}\t{listed}\n"


def session_lines(people: People, texts: Texts, anchor: int) -> Iterator[str]:
    """Lines of ``research_sessions`` in :data:`SESSION_COLUMNS`."""
    random = np.random.default_rng([people.seed, 5])
    size = people.scale.sessions
    created = moments(slice(0, size), size, anchor, random)
    users = np.searchsorted(people.cards, random.random(size), side="right")
    topics = random.integers(0, len(people.vocabulary.topics), size)
    drawn = random.integers(0, POOL, size)
    waits, fails = random.random(size) < 0.5, random.random(size) < 0.04
    fields = (created, users, topics, drawn, waits, fails)
    rows = zip(*(field.tolist() for field in fields), strict=True)
    for number, (when, user, topic, text, waiting, failed) in enumerate(rows, 1):
        is_young = when > anchor - _WAITING_S
        status = ("running", "queued")[waiting] if is_young else ("done", "failed")[failed]
        yield f"{number}\t{user + 1}\t{texts.question[topic][text]}\t{status}\t{moment(when)}\n"
