"""Answers to questions about the posts, found by words and meaning. Touches: the database, the cache, the embedder.

An exact question is answered by the response cache in front of the route; one that is put otherwise, or posted, by the
semantic cache. Both end with any write to the posts.
"""

from __future__ import annotations

from functools import cached_property
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
    """``Researcher`` on Tailrace.

    Args:
        embedder: makes the questions' vectors; its owner closes it.
    """

    def __init__(self, tailrace: Tailrace, embedder: Embedder) -> None:
        self._tailrace = tailrace
        self._embedder = embedder
        self._answers = SemanticCache(tailrace.cache, embedder, POLICY)

    async def answer(self, asked: str, limit: int) -> Answered:
        """An embedding and three round trips, unless something like it was answered since the last write."""

        async def compute() -> bytes:
            found = await self._retriever.search(asked, limit=limit)
            rows = [SimpleNamespace(content_id=post.key, score=post.score, **post.columns) for post in found]
            return answer_of(asked, rows)

        scope = Scope(shared=True, model="extractive-1", more={"limit": str(limit)})
        found = await self._answers.ask(asked, compute, scope=scope, depends_on=post_tags())
        return Answered(found.answer.value, found.outcome)

    @cached_property
    def _retriever(self) -> Retriever:
        database = self._tailrace.database
        assert database is not None
        return Retriever(database, SEARCH, self._embedder, columns=SHOWN)
