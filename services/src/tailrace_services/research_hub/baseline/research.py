"""Answers to questions about the posts, as they were found at first. Touches: the database, the processor.

Every question reads every post: its words are made anew to be counted, and its vector is compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from sqlalchemy import text

from tailrace.semantic import MiniLm
from tailrace.semantic.evidence import Evidence
from tailrace.semantic.wording import folded
from tailrace_services.plain_sessions import Sessions
from tailrace_services.research_hub.api.research import LEAST_SIMILARITY, Answered, answer_of

__all__ = ["BaselineResearcher"]

WORDS = text("""
SELECT c.id, w.lexeme, cardinality(w.positions) AS times, d.length
FROM contents c
CROSS JOIN LATERAL (SELECT to_tsvector('english', concat_ws(E'\\n', c.title, c.body)) AS words) v
CROSS JOIN LATERAL (SELECT sum(cardinality(positions)) AS length FROM unnest(v.words)) d
CROSS JOIN LATERAL unnest(v.words) w
WHERE w.lexeme = ANY (tsvector_to_array(to_tsvector('english', :question)))
""")
LEXEMES = text("SELECT length(to_tsvector('english', :question))")
VECTORS = text("""
SELECT id, 1 - (embedding <=> CAST(CAST(:vector AS text) AS halfvec)) AS nearness
FROM contents WHERE embedding IS NOT NULL
ORDER BY (embedding <=> CAST(CAST(:vector AS text) AS halfvec)) + 0, id LIMIT 100
""")
POSTS = text("""
SELECT id AS content_id, platform, url, title, published_at, body, embedding IS NULL AS waits
FROM contents WHERE id = ANY (:ids)
""")
TYPICAL_LENGTH = 50
CANDIDATES = 100


class BaselineResearcher:
    """``Researcher`` without Tailrace, on any database that has the service's tables."""

    def __init__(self, database_url: str, least: float = LEAST_SIMILARITY) -> None:
        self._least = least
        self._sessions = Sessions(database_url)
        self._model: MiniLm | None = None

    async def answer(self, asked: str, limit: int) -> Answered:
        """Read everything, then rank it here."""
        if self._model is None:
            self._model = MiniLm()
        vector = str(self._model.embed([folded(asked)])[0].tolist())
        async with self._sessions.begin() as session:
            posts = (await session.execute(text("SELECT count(*) FROM contents"))).scalar_one()
            said = (await session.execute(WORDS, {"question": asked})).all()
            nearness = (await session.execute(VECTORS, {"vector": vector})).all()
            nearest = [row.id for row in nearness]
            words = (await session.execute(LEXEMES, {"question": asked})).scalar_one()
            by_words = _ranked_by_words(posts, said)[:CANDIDATES]
            scores: dict[int, float] = defaultdict(float)
            for ranked in (by_words, nearest):
                for place, post in enumerate(ranked, 1):
                    scores[post] += 1 / (60 + place)
            best = sorted(scores, key=lambda post: (-scores[post], post))[:limit]
            rows = {row.content_id: row._asdict() for row in await session.execute(POSTS, {"ids": best})}
        evidence = Evidence(nearness[0].nearness if nearness else None, words, bool(said))
        if not evidence.suffices(self._least):
            best = [post for post in best if post in by_words and rows[post]["waits"]]
        posts_found = [SimpleNamespace(score=scores[post], **rows[post]) for post in best]
        return Answered(answer_of(asked, posts_found), "none")

    async def aclose(self) -> None:
        """Close every connection."""
        await self._sessions.aclose()


def _ranked_by_words(posts: int, said: Any) -> list[int]:
    """BM25 of all posts that have any of the words, the best first."""
    having: dict[str, int] = defaultdict(int)
    for _, word, _, _ in said:
        having[word] += 1
    values: dict[int, float] = defaultdict(float)
    for post, word, times, length in said:
        worth = math.log(1 + (posts - having[word] + 0.5) / (having[word] + 0.5))
        values[post] += worth * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * float(length) / TYPICAL_LENGTH))
    return sorted(values, key=lambda post: (-round(values[post], 4), post))
