"""Answers as they were found at first: every passage is read for each, and nothing is kept. Touches: the database.

A stream is what a stream was then: the answer is made as a whole, and its events follow at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request, Response
from sqlalchemy import text

from tailrace.fastapi import EventStreamResponse, ServerSentEvent
from tailrace.semantic import Embedder, Evidence, MiniLm
from tailrace.semantic.wording import folded
from tailrace_services.plain_sessions import Sessions
from tailrace_services.trading_desk.answers.chosen_wording import running_wording
from tailrace_services.trading_desk.answers.corpora import HOLDS, STATE, WAITS, candidates
from tailrace_services.trading_desk.answers.events import cache_event, made, start_event
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.answers.passage import Passage
from tailrace_services.trading_desk.answers.upkeep import keeping_default_documents
from tailrace_services.trading_desk.answers.wording import Wording
from tailrace_services.trading_desk.api.query import CorpusState, DocumentsState, Produce, Wanted, corpus_not_found

__all__ = ["BaselineAnswerer"]

COUNT = text("SELECT count(*) FROM docs.chunks")
WORDS = text("""
SELECT c.id, w.lexeme, cardinality(w.positions) AS times, d.length
FROM docs.chunks c
CROSS JOIN LATERAL (SELECT to_tsvector('english', concat_ws(E'\\n', c.heading, c.body)) AS words) v
CROSS JOIN LATERAL (SELECT sum(cardinality(positions)) AS length FROM unnest(v.words)) d
CROSS JOIN LATERAL unnest(v.words) w
WHERE c.corpus = :corpus AND w.lexeme = ANY (tsvector_to_array(to_tsvector('english', :question)))
""")
LEXEMES = text("SELECT length(to_tsvector('english', :question))")
VECTORS = text("""
SELECT id, 1 - (embedding <=> CAST(CAST(:vector AS text) AS halfvec)) AS nearness
FROM docs.chunks WHERE corpus = :corpus AND embedding IS NOT NULL
ORDER BY (embedding <=> CAST(CAST(:vector AS text) AS halfvec)) + 0, id LIMIT 100
""")
PASSAGES = text("SELECT id, path, heading, body FROM docs.chunks WHERE id = ANY (:ids)")
TYPICAL_LENGTH = 100
CANDIDATES = 100


class BaselineAnswerer:
    """``Answerer`` without Tailrace, on any database that has the service's tables."""

    def __init__(self, database_url: str, options: AnswerOptions) -> None:
        self._url = database_url
        self._options = options
        self._sessions = Sessions(database_url)
        self._wording: Wording
        self._model: MiniLm | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the application runs."""
        embedder = Embedder()
        try:
            async with (
                running_wording(self._options.chat) as self._wording,
                keeping_default_documents(self._url, embedder, wanted=self._options.load_default),
            ):
                yield
        finally:
            await embedder.aclose()
            await self._sessions.aclose()

    async def corpus(self, named: str | None) -> str:
        """Looked up each time."""
        async with self._sessions.begin() as session:
            for corpus in candidates(named):
                if (await session.execute(HOLDS, {"corpus": corpus})).scalar_one():
                    return str(corpus)
        raise corpus_not_found(named)

    async def events(self, wanted: Wanted) -> AsyncIterator[ServerSentEvent]:
        """All at once, when there are all."""
        following = [event async for event in made(wanted.q, lambda: self._find(wanted), self._wording)]
        yield start_event(wanted.q, wanted.corpus)
        yield cache_event("none")
        for event in following:
            yield event

    async def open(self, request: Request, produce: Produce, scope: str) -> Response:
        """From the beginning, each time."""
        return EventStreamResponse(produce())

    async def state(self) -> DocumentsState:
        """Counted now."""
        async with self._sessions.begin() as session:
            rows = (await session.execute(STATE)).all()
        return DocumentsState(corpora=[CorpusState(**row._mapping) for row in rows])

    async def _find(self, wanted: Wanted) -> Sequence[Passage]:
        """Read everything, then rank it here."""
        if self._model is None:
            self._model = MiniLm()
        vector = str(self._model.embed([folded(wanted.q)])[0].tolist())
        within = {"corpus": wanted.corpus}
        async with self._sessions.begin() as session:
            count = (await session.execute(COUNT)).scalar_one()
            said = (await session.execute(WORDS, within | {"question": wanted.q})).all()
            nearness = (await session.execute(VECTORS, within | {"vector": vector})).all()
            near = [row.id for row in nearness]
            words = (await session.execute(LEXEMES, {"question": wanted.q})).scalar_one()
            evidence = Evidence(nearness[0].nearness if nearness else None, words, bool(said))
            if not (
                evidence.suffices(self._options.least_similarity) or (await session.execute(WAITS, within)).scalar_one()
            ):
                return []
            scores: dict[int, float] = defaultdict(float)
            for ranked in (_ranked_by_words(count, said)[:CANDIDATES], near):
                for place, passage in enumerate(ranked, 1):
                    scores[passage] += 1 / (60 + place)
            best = sorted(scores, key=lambda passage: (-scores[passage], passage))[: wanted.limit]
            rows = {row.id: row for row in await session.execute(PASSAGES, {"ids": best})}
        return [
            Passage.model_construct(
                citation=number,
                path=rows[key].path,
                heading=rows[key].heading,
                text=rows[key].body,
                score=round(scores[key], 6),
            )
            for number, key in enumerate(best, 1)
        ]


def _ranked_by_words(count: int, said: Sequence[Any]) -> list[int]:
    """BM25 of all passages that have any of the words, the best first."""
    having: dict[str, int] = defaultdict(int)
    for _, word, _, _ in said:
        having[word] += 1
    values: dict[int, float] = defaultdict(float)
    for passage, word, times, length in said:
        worth = math.log(1 + (max(count - having[word], 0) + 0.5) / (having[word] + 0.5))
        values[passage] += worth * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * float(length) / TYPICAL_LENGTH))
    return sorted(values, key=lambda passage: (-round(values[passage], 4), passage))
