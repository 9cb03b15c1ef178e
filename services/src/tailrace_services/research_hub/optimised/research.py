"""Answers to questions about the posts, found by words and meaning. Touches: the database, the cache, the embedder.

An exact question is answered by the response cache in front of the route; one that is put otherwise, or posted, by the
semantic cache. Both end with any write to the posts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

from tailrace.cache import CachePolicy
from tailrace.fastapi import Tailrace
from tailrace.semantic import Embedder, HybridSearch, Retriever, Scope, SemanticCache
from tailrace_services.research_hub.api.research import Answered, answer_of
from tailrace_services.research_hub.model import Content
from tailrace_services.research_hub.optimised.watches import post_tags

__all__ = ["SEARCH", "OptimisedResearcher"]

SEARCH = HybridSearch(Content, texts=("title", "body"), vector="embedding", typical_length=50)
"""How posts are searched."""
SHOWN = ("platform", "url", "title", "published_at", "body")
POLICY = CachePolicy("answers", ttl=300.0)


class OptimisedResearcher:
    """``Researcher`` on Tailrace. It answers while ``running``.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace
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
            found = await retriever.search(asked, limit=limit)
            rows = [SimpleNamespace(content_id=post.key, score=post.score, **post.columns) for post in found]
            return answer_of(asked, rows)

        scope = Scope(shared=True, model="extractive-1", more={"limit": str(limit)})
        found = await answers.ask(asked, compute, scope=scope, depends_on=post_tags())
        return Answered(found.answer.value, found.outcome)
