"""Posts, some thousand at a time, as lines of COPY. Pure.

Number ``i`` of ``n`` is collected in the ``i``-th of ``n`` equal parts of the year, so that numbers and moments go
together and no sorting is needed, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.copy_text import NULL, moment
from tailrace_services.research_hub.generator.people import People
from tailrace_services.research_hub.generator.vocabulary import POOL, Texts

__all__ = ["COLUMNS", "YEAR_S", "moments", "post_lines", "topics"]

YEAR_S = 365 * 86_400
"""Seconds of the generated time, up to the anchor."""
COLUMNS = (
    *("id", "author_id", "platform", "url", "title", "body", "scraped_at", "published_at", "analyzed_at", "metrics"),
)
_ANALYSED = 0.75
_SENTENCES = 9
"""Most sentences of a post."""
_OWN_TOPIC = 0.8
"""Share of posts that are about what their author mostly writes about."""


def moments(run: slice, total: int, anchor: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Seconds since 1970 for those numbered ``run`` of ``total``, in order, over the year before ``anchor``."""
    position = np.arange(run.start, run.stop) + random.random(run.stop - run.start)
    seconds: NDArray[np.int64] = anchor - YEAR_S + (position * (YEAR_S / total)).astype(np.int64)
    return seconds


def authors(people: People, run: slice, random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of those who wrote the posts in ``run``."""
    found: NDArray[np.int64] = np.searchsorted(people.posts, random.random(run.stop - run.start), side="right")
    return found


def topics(people: People, written: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """What posts are about, given who wrote them."""
    any_topic = random.integers(0, len(people.vocabulary.topics), written.size)
    return np.where(random.random(written.size) < _OWN_TOPIC, people.topic[written], any_topic)


def post_lines(
    people: People, texts: Texts, run: slice, anchor: int, random: np.random.Generator
) -> tuple[list[str], NDArray[np.int64]]:
    """Lines of ``contents`` in :data:`COLUMNS`, and what each is about."""
    size = run.stop - run.start
    written = authors(people, run, random)
    about = topics(people, written, random)
    scraped = moments(run, people.scale.contents, anchor, random)
    published = scraped - 60 - (random.exponential(2.0, size) * 86_400).astype(np.int64)
    analysed = scraped + 30 + (random.exponential(0.1, size) * 86_400).astype(np.int64)
    seen = (random.random(size) < _ANALYSED) & (analysed <= anchor)
    score = np.minimum(random.pareto(0.9, size) * 12, 10_000_000).astype(np.int64)
    comments = (score * random.beta(1.2, 6.0, size)).astype(np.int64)
    drawn = random.integers(0, POOL, (size, _SENTENCES + 1))
    sentences = np.minimum(random.geometric(0.28, size) + 1, _SENTENCES)
    fields = (written, about, scraped, published, np.where(seen, analysed, 0), score, comments, sentences)
    rows = zip(*(field.tolist() for field in fields), drawn.tolist(), strict=True)
    return list(_lines(people, texts, run.start + 1, rows)), about


def _lines(people: People, texts: Texts, first_id: int, rows: Iterator[tuple[object, ...]]) -> Iterator[str]:
    platforms = [people.vocabulary.platforms[number] for number in people.platform.tolist()]
    row: tuple[int, int, int, int, int, int, int, int, list[int]]
    for number, row in enumerate(rows, first_id):  # type: ignore[assignment]
        author, about, scraped, published, analysed, score, comments, sentences, drawn = row
        platform = platforms[author]
        url = f"https://{platform}.example/{people.username(author)}/{number}"
        said = " ".join(texts.body[about][index] for index in drawn[:sentences])
        yield (
            f"{number}\t{author + 1}\t{platform}\t{url}\t{texts.title[about][drawn[-1]]}\t{said}\t{moment(scraped)}\t"
            f"{moment(published)}\t{moment(analysed) if analysed else NULL}\t"
            f'{{"score": {score}, "comments": {comments}}}\n'
        )
