"""Who writes posts and who uses the hub. Pure: seed in, arrays and rows out.

Both follow a shifted Zipf law (Zipf-Mandelbrot): a few authors have most of the posts, a few users most of the cards.

**Source:** Mandelbrot, "An informational theory of the statistical structure of language", 1953 (the shifted law).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.wording import zipf_ranks
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.research_hub.generator.scale import Scale
from tailrace_services.research_hub.generator.vocabulary import Vocabulary
from tailrace_services.research_hub.keys import api_key

__all__ = ["ADMINISTRATOR", "People", "populate"]

ADMINISTRATOR = 1
"""The user, and the number of the key, that may do what is for operators."""
_EXPONENT, _SHIFT = 1.1, 5.0
_SCRAMBLE = 2654435761  # Knuth's multiplicative hash: spreads consecutive numbers

UserRow = tuple[int, str, str, datetime]
KeyRow = tuple[int, int, str, bool]
AuthorRow = tuple[int, str, str, str, int]


@dataclass(frozen=True)
class People:
    """Everybody. Position ``i`` is number ``i + 1``.

    Attributes:
        platform: ``(authors,) int64``, position in the vocabulary.
        topic: ``(authors,) int64``, what each mostly writes about.
        followers: ``(authors,) int64``.
        posts: ``(authors,) float64``, cumulated shares of all posts, up to 1.
        cards: ``(users,) float64``, cumulated shares of all cards, up to 1.
    """

    scale: Scale
    seed: int
    vocabulary: Vocabulary
    platform: NDArray[np.int64]
    topic: NDArray[np.int64]
    followers: NDArray[np.int64]
    posts: NDArray[np.float64]
    cards: NDArray[np.float64]

    def user_rows(self, start: datetime) -> Iterator[UserRow]:
        """Rows of ``users``: id, email, username, created_at."""
        for user in range(self.scale.users):
            first, last = self._name(user * 31 + 7)
            username = f"{first}.{last}{user + 1}"
            yield user + 1, f"{username.lower()}@hub.example", username, start

    def key_rows(self) -> Iterator[KeyRow]:
        """Rows of ``api_keys``: id, user_id, key_hash, administrator. A user's key has the user's number."""
        for user in range(1, self.scale.users + 1):
            yield user, user, hash_api_key(api_key(self.seed, user)), user == ADMINISTRATOR

    def author_rows(self) -> Iterator[AuthorRow]:
        """Rows of ``authors``: id, platform, username, display_name, followers."""
        platforms = self.vocabulary.platforms
        fields = (self.platform.tolist(), self.followers.tolist())
        for author, (platform, followers) in enumerate(zip(*fields, strict=True)):
            first, last = self._name(author * 17 + 3)
            username = self.username(author)
            yield author + 1, platforms[platform], username, f"{first} {last}", followers

    def username(self, author: int) -> str:
        """What the author at position ``author`` is called on the platform."""
        first, last = self._name(author * 17 + 3)
        return f"{first.lower()}_{last.lower()}_{author + 1}"

    def _name(self, code: int) -> tuple[str, str]:
        drawn = code * _SCRAMBLE % 2**32 >> 8
        first, last = self.vocabulary.people["first"], self.vocabulary.people["last"]
        return first[drawn % len(first)], last[drawn // len(first) % len(last)]


def populate(scale: Scale, seed: int, vocabulary: Vocabulary) -> People:
    """Everybody of ``scale``."""
    random = np.random.default_rng([seed, 0])
    return People(
        scale,
        seed,
        vocabulary,
        platform=zipf_ranks(random.random(scale.authors), len(vocabulary.platforms)),
        topic=random.integers(0, len(vocabulary.topics), scale.authors),
        followers=np.minimum(random.pareto(1.1, scale.authors) * 200, 50_000_000).astype(np.int64),
        posts=_cumulated(scale.authors),
        cards=_cumulated(scale.users),
    )


def _cumulated(count: int) -> NDArray[np.float64]:
    weight = (np.arange(1, count + 1) + _SHIFT) ** -_EXPONENT
    cumulated: NDArray[np.float64] = np.cumsum(weight / weight.sum())
    cumulated[-1] = 1.0  # what rounding left out is the last one's
    return cumulated
