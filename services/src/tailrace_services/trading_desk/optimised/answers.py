"""Answers found by words and meaning, kept by what was asked. Touches: the database, the cache, the embedder.

An answer ends with any write to its corpus, whoever makes it: a new document may answer better than its sources.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager

from fastapi import Request, Response
from sqlalchemy import TextClause

from tailrace.cache import CachePolicy
from tailrace.db import Database
from tailrace.errors import TailraceError
from tailrace.fastapi import PartStatus, ServerSentEvent, Tailrace
from tailrace.fastapi.streams import Streams
from tailrace.semantic import (
    Embedder,
    Retriever,
    Scope,
    SemanticCache,
    SemanticExplanation,
    StoredQuestions,
    prepare_questions,
    streamed_answer,
)
from tailrace.semantic.documents import DOCUMENT_SEARCH, corpus_tag
from tailrace_services.trading_desk.answers.chosen_wording import running_wording
from tailrace_services.trading_desk.answers.corpora import HOLDS, STATE, WAITS, candidates
from tailrace_services.trading_desk.answers.events import (
    cache_event,
    found_event,
    is_whole,
    made,
    same_said,
    start_event,
)
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.answers.passage import Passage
from tailrace_services.trading_desk.answers.upkeep import LATER
from tailrace_services.trading_desk.answers.wording import Wording
from tailrace_services.trading_desk.api.query import CorpusState, DocumentsState, Produce, Wanted, corpus_not_found
from tailrace_services.trading_desk.jobs import load_default_corpus

__all__ = ["OptimisedAnswerer"]

_log = logging.getLogger("tailrace_services")

POLICY = CachePolicy("documents", ttl=3_600.0)
"""What ends answers is what happens to their documents."""
CORPORA = CachePolicy("corpora", ttl=300.0)
AUDIT = 0.02
"""Share of the answers to similar questions that are computed all the same, to see whether they were right."""


class OptimisedAnswerer:
    """``Answerer`` on Tailrace. It answers while ``running``.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
        options: how questions are answered.
    """

    def __init__(self, tailrace: Tailrace, options: AnswerOptions) -> None:
        self._tailrace = tailrace
        self._options = options
        self._wording: Wording
        self._embedder: Embedder | None = None
        self._retriever: Retriever | None = None
        self._answers: SemanticCache | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Between Tailrace's start and its stop."""
        tailrace, options = self._tailrace, self._options
        embedder = self._embedder = Embedder()
        async with running_wording(options.chat, observer=tailrace.observer) as self._wording:
            self._retriever = Retriever(self._database, DOCUMENT_SEARCH, embedder, columns=("path", "heading", "body"))
            self._answers = SemanticCache(
                tailrace.cache,
                embedder,
                POLICY,
                threshold=options.threshold,
                wrong_at_most=options.wrong_at_most,
                audit=AUDIT if self._wording.repeatable else 0.0,
                same=same_said,
                questions=await self._questions(),
                observer=tailrace.observer,
            )
            if options.load_default:
                await self._enqueue_loading()
            try:
                yield
            finally:
                await self._answers.aclose()
                self._retriever = self._answers = self._embedder = None
                await embedder.aclose()

    async def _enqueue_loading(self) -> None:
        """Leave the default documents to a worker; one job, however many processes start."""
        try:
            async with self._database.session() as session:
                await load_default_corpus.options(after=LATER, key="start").enqueue(session)
                await session.commit()
        except TailraceError as error:  # what there is goes on being found, and the next start tries again
            _log.warning("the default documents are not loaded: %s", error)

    async def corpus(self, named: str | None) -> str:
        """Known here until the corpus is written to."""
        for corpus in candidates(named):
            if await self._holds(corpus):
                return corpus
        raise corpus_not_found(named)

    async def events(self, wanted: Wanted) -> AsyncIterator[ServerSentEvent]:
        """Kept ones, or as they are made; an embedding and a round trip unless something like it was asked."""
        answers = self._answers
        assert answers is not None
        yield start_event(wanted.q, wanted.corpus)
        events = streamed_answer(
            answers,
            wanted.q,
            lambda: made(wanted.q, lambda: self._find(wanted), self._wording),
            scope=self._scope(wanted),
            depends_on=[corpus_tag(wanted.corpus)],
            found=found_event,
            keeps=is_whole,
        )
        told = False
        async with aclosing(events):
            async for event in events:
                if not told and event.event != "cache":
                    yield cache_event("miss")
                told = True
                yield event

    async def open(self, request: Request, produce: Produce, scope: str) -> Response:
        """A stream that can be taken up where it was, on any process."""
        return await Streams(request)(produce, scope=scope)

    async def state(self) -> DocumentsState:
        """Counted now."""
        rows = await self._database.fetch(STATE)
        return DocumentsState(corpora=[CorpusState(**row._mapping) for row in rows])

    async def semantic_status(self) -> PartStatus:
        """Whether questions can be compared by their meaning."""
        assert self._embedder is not None
        return PartStatus("up", {"model": (await self._embedder.model()).name})

    async def documents_status(self) -> PartStatus:
        """Whether there is anything to answer from, and all of it is found by its meaning."""
        corpora = (await self.state()).corpora
        detail = {each.corpus: f"{each.passages} passages, {each.waiting} without a vector" for each in corpora}
        return PartStatus("up" if corpora and not any(each.waiting for each in corpora) else "degraded", detail)

    def statistics(self) -> Mapping[str, object]:
        """Of the questions that this process was asked."""
        assert self._answers is not None
        return self._answers.statistics.as_dict()

    async def explain(self, wanted: Wanted) -> SemanticExplanation:
        """How a question would be answered now."""
        assert self._answers is not None
        return await self._answers.explain(wanted.q, scope=self._scope(wanted), depends_on=[corpus_tag(wanted.corpus)])

    def _scope(self, wanted: Wanted) -> Scope:
        more = {"limit": str(wanted.limit), "least": f"{self._options.least_similarity:g}"}
        return Scope(tenant=wanted.corpus, shared=True, model=self._wording.version, more=more)

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    async def _questions(self) -> StoredQuestions | None:
        """Where questions are remembered; None: in this process."""
        if not self._options.questions_shared:
            return None
        await prepare_questions(self._database)
        return StoredQuestions(self._database, POLICY.name)

    async def _holds(self, corpus: str) -> bool:
        return await self._says("corpus", HOLDS, corpus)

    async def _says(self, name: str, statement: TextClause, corpus: str) -> bool:
        """What the statement says of the corpus; known here until it is written to."""

        async def look() -> bytes:
            return b"1" if (await self._database.fetch(statement, {"corpus": corpus}))[0][0] else b"0"

        answer = await self._tailrace.cache.read_through(
            f"{name}:{corpus}", look, policy=CORPORA, depends_on=[corpus_tag(corpus)]
        )
        return answer.value == b"1"

    async def _find(self, wanted: Wanted) -> list[Passage]:
        assert self._retriever is not None
        found = await self._retriever.search(wanted.q, limit=wanted.limit, tenant=wanted.corpus)
        if (
            found
            and not found[0].evidence.suffices(self._options.least_similarity)
            and not await self._says("waits", WAITS, wanted.corpus)
        ):
            return []
        return [
            Passage.model_construct(
                citation=number,
                path=each.columns["path"],
                heading=each.columns["heading"],
                text=each.columns["body"],
                score=round(each.score, 6),
            )
            for number, each in enumerate(found, 1)
        ]
