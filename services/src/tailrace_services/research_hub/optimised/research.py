"""Answers to questions about the posts, found by words and meaning. Touches: the database, the cache, the embedder.

An exact question is answered by the response cache in front of the route; one that is put otherwise, or posted, by the
semantic cache. Both end with any write to the posts. Where the nearest post is far from the question, nothing was found
but posts that have its words and wait for their vectors: nobody knows yet how near those are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace

from sqlalchemy import text

from tailrace.cache import CachePolicy
from tailrace.fastapi import Tailrace
from tailrace.semantic import Embedder, Found, HybridSearch, Retriever, Scope, SemanticCache
from tailrace_services.research_hub.api.research import LEAST_SIMILARITY, Answered, answer_of
from tailrace_services.research_hub.model import Content
from tailrace_services.research_hub.optimised.watches import post_tags

__all__ = ["SEARCH", "OptimisedResearcher"]

SEARCH = HybridSearch(Content, texts=("title", "body"), vector="embedding", typical_length=50)
"""How posts are searched."""
SHOWN = ("platform", "url", "title", "published_at", "body")
POLICY = CachePolicy("answers", ttl=300.0)
WAITING = text("SELECT id FROM contents WHERE id = ANY (CAST(:ids AS bigint[])) AND embedding IS NULL")
"""Which of some posts have no vector yet."""


class OptimisedResearcher:
    """``Researcher`` on Tailrace. It answers while ``running``.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
        least: cosine of a question and the post nearest to it, 0..1; below it nothing was found, 0 turns that off.
    """

    def __init__(self, tailrace: Tailrace, least: float = LEAST_SIMILARITY) -> None:
        self._tailrace = tailrace
        self._least = least
        self._retriever: Retriever | None = None
        self._answers: SemanticCache | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Between Tailrace's start and its stop."""
        database, embedder = self._tailrace.database, Embedder()
        assert database is not None
        self._retriever = Retriever(database, SEARCH, embedder, columns=SHOWN)
        self._answers = SemanticCache(self._tailrace.cache, embedder, POLICY)
        try:
            yield
        finally:
            self._retriever = self._answers = None
            await embedder.aclose()

    async def answer(self, asked: str, limit: int) -> Answered:
        """An embedding and a round trip, unless something like it was answered since the last write."""
        retriever, answers = self._retriever, self._answers
        assert retriever is not None
        assert answers is not None

        async def compute() -> bytes:
            found = await self._near(await retriever.search(asked, limit=limit))
            rows = [SimpleNamespace(content_id=post.key, score=post.score, **post.columns) for post in found]
            return answer_of(asked, rows)

        scope = Scope(shared=True, model="extractive-1", more={"limit": str(limit), "least": f"{self._least:g}"})
        found = await answers.ask(asked, compute, scope=scope, depends_on=post_tags())
        return Answered(found.answer.value, found.outcome)

    async def _near(self, found: Sequence[Found]) -> Sequence[Found]:
        """What has to do with the question, as far as that can be told. One round trip where nothing is near."""
        if not found or found[0].evidence.suffices(self._least):
            return found
        said = [post.key for post in found if post.by_words is not None]
        database = self._tailrace.database
        assert database is not None
        waiting = {row.id for row in await database.fetch(WAITING, {"ids": said})} if said else set()
        return [post for post in found if post.key in waiting]
