"""Write generated rows by COPY. Touches: the connection handed in.

The next rows are made up on a thread while the server takes in the last. Memory: two chunks of text, and a byte for
each post and some 60 for each movement of tokens, for all of them at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.generation import GeneratedDataset, Generation
from tailrace_services.data.loading import Connection, Progress, copy_rows, hand_over
from tailrace_services.research_hub.generator.cards import ATTRIBUTION_COLUMNS, CARD_COLUMNS, card_lines
from tailrace_services.research_hub.generator.findings import (
    PATTERN_COLUMNS,
    SESSION_COLUMNS,
    pattern_lines,
    session_lines,
)
from tailrace_services.research_hub.generator.ledger import LEDGER_COLUMNS, movement_lines
from tailrace_services.research_hub.generator.people import People, populate
from tailrace_services.research_hub.generator.posts import COLUMNS, YEAR_S, post_lines
from tailrace_services.research_hub.generator.scale import SCALES, Scale
from tailrace_services.research_hub.generator.vocabulary import Texts, load_vocabulary, make_texts
from tailrace_services.research_hub.model import Base

__all__ = ["GENERATION", "ResearchHubDataset"]

_CHUNK = 10_000
"""Rows made up at a time: about 5 MB of text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchHubDataset(GeneratedDataset):
    """What is loaded."""

    users: int
    authors: int
    contents: int
    cards: int
    attributions: int
    patterns: int
    sessions: int
    movements: int


async def fill(
    connection: Connection, scale: Scale, seed: int, anchor: datetime, progress: Progress
) -> ResearchHubDataset:
    """Write all rows."""
    people = populate(scale, seed, load_vocabulary())
    texts = make_texts(people.vocabulary, np.random.default_rng([seed, 1]))
    ends = int(anchor.timestamp())
    await _copy_people(connection, people, anchor - timedelta(seconds=YEAR_S))
    about = await _copy_posts(connection, people, texts, ends, progress)
    attributions = await _copy_cards(connection, people, texts, about, ends, progress)
    for table, columns, lines in (
        ("patterns", PATTERN_COLUMNS, pattern_lines(people, texts, about, ends)),
        ("research_sessions", SESSION_COLUMNS, session_lines(people, texts, ends)),
        ("token_ledger", LEDGER_COLUMNS, movement_lines(people, ends)),
    ):
        await _copy_lines(connection, table, columns, lines)
    return ResearchHubDataset(
        scale=scale.name,
        seed=seed,
        anchor=anchor,
        users=scale.users,
        authors=scale.authors,
        contents=scale.contents,
        cards=scale.cards,
        attributions=attributions,
        patterns=scale.patterns,
        sessions=scale.sessions,
        movements=scale.movements,
        created=True,
    )


async def _copy_people(connection: Connection, people: People, start: datetime) -> None:
    users, keys = ("id", "email", "username", "created_at"), ("id", "user_id", "key_hash", "administrator")
    authors = ("id", "platform", "username", "display_name", "followers")
    await connection.copy_records_to_table("users", records=people.user_rows(start), columns=users)
    await connection.copy_records_to_table("api_keys", records=people.key_rows(), columns=keys)
    await connection.copy_records_to_table("authors", records=people.author_rows(), columns=authors)


async def _copy_posts(
    connection: Connection, people: People, texts: Texts, anchor: int, progress: Progress
) -> NDArray[np.int8]:
    """COPY the posts, chunk by chunk, and return what each is about."""
    total = people.scale.contents
    about = np.zeros(total, np.int8)
    progress("contents", 0, total)

    def chunks() -> Iterator[tuple[int, list[str]]]:
        for number, run in enumerate(_runs(total)):
            lines, about[run] = post_lines(people, texts, run, anchor, np.random.default_rng([people.seed, 2, number]))
            yield run.stop, lines

    async def take(chunk: tuple[int, list[str]]) -> None:
        done, lines = chunk
        await _copy(connection, "contents", COLUMNS, lines)
        progress("contents", done, total)

    await hand_over(chunks(), take)
    return about


async def _copy_cards(
    connection: Connection, people: People, texts: Texts, about: NDArray[np.int8], anchor: int, progress: Progress
) -> int:
    """COPY cards and attributions, chunk by chunk, and return the number of attributions."""
    total = people.scale.cards
    attributions = 0
    progress("cards", 0, total)

    def chunks() -> Iterator[tuple[int, list[str], list[str]]]:
        made = 0
        for number, run in enumerate(_runs(total)):
            random = np.random.default_rng([people.seed, 3, number])
            cards, sources = card_lines(people, texts, about, run, made + 1, anchor, random)
            made += len(sources)
            yield run.stop, cards, sources

    async def take(chunk: tuple[int, list[str], list[str]]) -> None:
        nonlocal attributions
        done, cards, sources = chunk
        await _copy(connection, "cards", CARD_COLUMNS, cards)
        await _copy(connection, "attributions", ATTRIBUTION_COLUMNS, sources)
        attributions += len(sources)
        progress("cards", done, total)

    await hand_over(chunks(), take)
    return attributions


def _runs(total: int) -> Iterator[slice]:
    return (slice(first, min(first + _CHUNK, total)) for first in range(0, total, _CHUNK))


async def _copy_lines(connection: Connection, table: str, columns: tuple[str, ...], lines: Iterator[str]) -> None:
    while chunk := await asyncio.to_thread(lambda: list(itertools.islice(lines, _CHUNK))):
        await _copy(connection, table, columns, chunk)


async def _copy(connection: Connection, table: str, columns: tuple[str, ...], lines: Iterable[str]) -> None:
    await copy_rows(connection, table, columns, "".join(lines).encode(), form="text")


GENERATION = Generation("research_hub", Base.metadata, SCALES, ResearchHubDataset, fill)
