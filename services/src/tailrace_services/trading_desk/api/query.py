"""Questions about documents: addresses, and what answers them. Touches nothing itself.

Nobody has to say who asks: documents are everybody's, and a browser's ``EventSource`` can send no key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from tailrace.errors import RequestError
from tailrace.fastapi import EventStreamResponse, ServerSentEvent, limited
from tailrace_services.bodies import Body, Printable, RequestBody
from tailrace_services.surroundings import JSON, failures
from tailrace_services.trading_desk.answers.events import whole
from tailrace_services.trading_desk.answers.passage import AnswerBody
from tailrace_services.trading_desk.api.query_page import add_query_page

__all__ = [
    "Answerer",
    "Asked",
    "Corpus",
    "CorpusState",
    "DocumentsState",
    "Limit",
    "NewQuestion",
    "OpenStream",
    "Produce",
    "Wanted",
    "build_query_routes",
    "corpus_not_found",
]

OUTCOME = "Semantic-Cache"
"""The header that says how an answer was found: exact, similar, miss or bypass; none where there is no cache."""
BUSY: dict[int | str, dict[str, Any]] = {429: {"description": "Too many requests; `Retry-After` says when."}}
EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["start", "cache", "status", "chunk", "sources", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0, "description": "Milliseconds."},
    },
    "required": ["event", "data"],
}
"""One event, as OpenAPI 3.2 describes the items of a sequential media type."""
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events `start`, `cache`, `status`, `chunk`, `sources`, `done`; or `error`.",
        "content": {"text/event-stream": {"schema": {"type": "array", "items": EVENT}, "itemSchema": EVENT}},
    },
    204: {"description": "The stream that `Last-Event-ID` is of had ended there."},
}

Asked = Annotated[str, Field(min_length=1, max_length=1_000), Printable]
Corpus = Annotated[str, Field(min_length=1, max_length=100, description="Which documents."), Printable]
Limit = Annotated[int, Field(ge=1, le=20, description="How many passages.")]


class NewQuestion(RequestBody):
    """A question."""

    q: Asked
    corpus: Corpus | None = None
    limit: Limit = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A question as it is answered: in a corpus that there is."""

    q: str
    corpus: str
    limit: int


class CorpusState(Body):
    """What was loaded under a name."""

    corpus: str
    documents: int
    passages: int
    waiting: Annotated[int, Field(description="Passages found by their words only, so far.")]


class DocumentsState(Body):
    """What questions are answered from."""

    corpora: list[CorpusState]


Produce = Callable[[], AsyncIterator[ServerSentEvent]]
OpenStream = Callable[[Request, Produce, str], Awaitable[Response]]
"""The response of a stream, given the request, what makes its events, and what it is of beside the URL."""


class Answerer(Protocol):
    """Answers questions. Trouble is raised as ``TailraceError``."""

    async def corpus(self, named: str | None) -> str:
        """The corpus that is meant; ``RequestError`` 404 if it is not there."""
        ...

    def events(self, wanted: Wanted) -> AsyncIterator[ServerSentEvent]:
        """The answer as events."""
        ...

    async def open(self, request: Request, produce: Produce, scope: str) -> Response:
        """The response that streams them."""
        ...

    async def state(self) -> DocumentsState:
        """What there is to answer from."""
        ...


def corpus_not_found(named: str | None) -> RequestError:
    """404."""
    what = "no documents are loaded yet" if named is None else f"there is no corpus {named!r}"
    return RequestError(what, status=404, code="corpus_not_found")


def build_query_routes(answerer: Answerer) -> APIRouter:
    """``/query`` and what is below it, answered by ``answerer``."""
    router = APIRouter(prefix="/query", tags=["documents"])
    ask = limited("1200/minute", burst=200, name="questions")

    async def wanted_of(question: NewQuestion) -> Wanted:
        return Wanted(question.q, await answerer.corpus(question.corpus), question.limit)

    async def stream(request: Request, wanted: Wanted) -> Response:
        return await answerer.open(request, lambda: answerer.events(wanted), repr(wanted))

    add_query_page(router)

    @router.post("", response_model=AnswerBody, responses=failures(400, 404, 413) | BUSY)
    @ask
    async def query(question: NewQuestion) -> Response:
        """What the documents say about a question, with the passages that say so."""
        answer, outcome = await whole(answerer.events(await wanted_of(question)))
        return Response(answer.json_bytes(), headers={OUTCOME: outcome}, media_type=JSON)

    streamed: dict[str, Any] = {
        "response_class": EventStreamResponse,
        "responses": EVENTS | failures(400, 404, 413) | BUSY,
    }

    @router.get("/stream", **streamed)
    @ask
    async def get_stream(
        request: Request,
        q: Annotated[Asked, Query()],
        corpus: Annotated[Corpus | None, Query()] = None,
        limit: Annotated[Limit, Query()] = 5,
    ) -> Response:
        """The same as events, while it is made."""
        return await stream(request, Wanted(q.strip() or q, await answerer.corpus(corpus), limit))

    @router.post("/stream", **streamed)
    @ask
    async def post_stream(request: Request, question: NewQuestion) -> Response:
        """The same for questions that are not to stand in an address."""
        return await stream(request, await wanted_of(question))

    @router.get("/documents", response_model=DocumentsState, responses=failures() | BUSY)
    async def state() -> Response:
        """What there is to answer from, and whether all of it is found by its meaning yet."""
        return Response((await answerer.state()).json_bytes(), headers={"cache-control": "no-store"}, media_type=JSON)

    return router
