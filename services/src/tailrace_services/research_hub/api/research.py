"""Questions about the posts: bodies, addresses, and what answers them. Touches nothing itself.

An answer is made of the posts' own sentences, each with the number of the passage that it stands in. Where no post
has to do with the question there are none: what is least far away is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, Field

from tailrace.semantic import best_sentences
from tailrace_services.research_hub.api.schemas import Body, RequestBody, printable
from tailrace_services.research_hub.api.surroundings import JSON, Surroundings, failures

__all__ = [
    "LEAST_SIMILARITY",
    "Answered",
    "NewQuestion",
    "Passage",
    "Quote",
    "ResearchAnswer",
    "Researcher",
    "answer_of",
    "build_research_routes",
]

QUOTES = 3
"""Sentences of an answer."""
EXCERPT = 400
"""Characters of a post that a passage shows."""
LEAST_SIMILARITY = 0.30
"""Least cosine of a question and the post nearest to it, by default."""
OUTCOME = "Semantic-Cache"
"""The header that says how an answer was found: exact, similar, miss or bypass."""

Asked = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(printable)]
Wanted = Annotated[int, Field(ge=1, le=20, description="How many passages.")]


class Passage(Body):
    """A post that was found."""

    citation: Annotated[int, Field(description="Its number in this answer, from 1.")]
    content_id: int
    platform: str
    url: str
    title: str
    published_at: datetime
    excerpt: str
    score: Annotated[float, Field(description="Larger is better; comparable within one answer only.")]


class Quote(Body):
    """A sentence of a post."""

    citation: int
    text: str


class ResearchAnswer(Body):
    """What the posts say, the best passages first; empty where nothing was found."""

    answer: Annotated[str, Field(description="The quotes in a row, each with its citation; empty: nothing was found.")]
    quotes: list[Quote]
    passages: list[Passage]


class NewQuestion(RequestBody):
    """``POST /query/rag``."""

    q: Asked
    limit: Wanted = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """A ``ResearchAnswer`` as JSON, and how it was found."""

    body: bytes
    outcome: str


class Researcher(Protocol):
    """Answers questions. Database trouble is raised as ``TailraceError``."""

    async def answer(self, asked: str, limit: int) -> Answered:
        """What the ``limit`` best posts say."""
        ...


def answer_of(asked: str, rows: Sequence[Any]) -> bytes:
    """The answer that posts give: rows of content_id, platform, url, title, published_at, body and score, in order."""
    chosen = best_sentences(asked, [row.body for row in rows], count=QUOTES)
    quotes = [Quote(citation=quote.source + 1, text=quote.sentence) for quote in chosen]
    passages = [
        Passage(
            citation=number,
            content_id=row.content_id,
            platform=row.platform,
            url=row.url,
            title=row.title,
            published_at=row.published_at,
            excerpt=row.body[:EXCERPT],
            score=round(row.score, 6),
        )
        for number, row in enumerate(rows, 1)
    ]
    said = " ".join(f"{quote.text} [{quote.citation}]" for quote in quotes)
    return ResearchAnswer(answer=said, quotes=quotes, passages=passages).json_bytes()


def build_research_routes(researcher: Researcher, around: Surroundings) -> APIRouter:
    """``/query/rag``, answered by ``researcher``."""
    router = APIRouter(prefix="/query")

    async def respond(asked: str, limit: int) -> Response:
        found = await researcher.answer(asked, limit)
        return Response(found.body, headers={OUTCOME: found.outcome}, media_type=JSON)

    @router.get("/rag", response_model=ResearchAnswer, responses=failures(), tags=["research"])
    @partial(around.mark, "research")
    async def research(q: Annotated[Asked, Query()], limit: Annotated[Wanted, Query()] = 5) -> Response:
        """What the posts say about a question, with citations."""
        return await respond(q, limit)

    @router.post("/rag", response_model=ResearchAnswer, responses=failures(400, 413), tags=["research"])
    async def ask(question: NewQuestion) -> Response:
        """The same for questions that are not to stand in an address."""
        return await respond(question.q, question.limit)

    return router
