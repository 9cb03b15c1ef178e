from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    routing,
)
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import Response
from tests.unit.asgi.driver import ask

from tailrace.fastapi.indexed_routes import index_routes
from tailrace.fastapi.short_handler import shorten


class Item(BaseModel):
    """What is answered."""

    number: int = Field(alias="no")
    name: str | None = None


class Filter(BaseModel):
    """What is asked for, as a model of query parameters."""

    model_config = {"extra": "forbid"}
    limit: int = 5
    order: str = "up"


class Refused(Exception):
    """Handled by the application."""


class Failed(Exception):
    """Handled by nobody."""


class Log(list[str]):
    """What was done, in its order."""


def parameters(log: Log) -> dict[str, inspect.Parameter]:
    """What endpoints may ask for, by name."""

    async def called(q: int = 1) -> str:
        log.append("dependency")
        return f"dependency {q}"

    async def yielding() -> AsyncIterator[str]:
        log.append("entered")
        yield "yielded"
        log.append("left")

    declared: dict[str, tuple[Any, Any]] = {
        "request": (Request, inspect.Parameter.empty),
        "x": (int, inspect.Parameter.empty),
        "q": (int, inspect.Parameter.empty),
        "limit": (int, 10),
        "words": (Annotated[list[str], Query()], []),
        "chosen": (Annotated[Filter, Query()], inspect.Parameter.empty),
        "user_agent": (Annotated[str, Header()], "none"),
        "theme": (Annotated[str | None, Cookie()], None),
        "called": (Annotated[str, Depends(called)], inspect.Parameter.empty),
        "yielded": (Annotated[str, Depends(yielding)], inspect.Parameter.empty),
        "tasks": (BackgroundTasks, inspect.Parameter.empty),
        "response": (Response, inspect.Parameter.empty),
        "text": (Annotated[str, Body()], "no body"),
    }
    return {
        name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in declared.items()
    }


PLAIN = ("request", "x", "q", "limit", "words", "chosen", "user_agent", "theme")
OTHERS = ("called", "yielded", "tasks", "response", "text")
MADE: dict[str, Callable[[], Any]] = {
    "items": lambda: [{"no": 1, "name": "a"}, Item(no=2)],
    "item": lambda: Item(no=1),
    "fields": lambda: {"no": 1, "name": None, "rest": 2.5},
    "text": lambda: "text",
    "nothing": lambda: None,
    "no number": lambda: float("nan"),
    "response": lambda: PlainTextResponse("ready", status_code=203, headers={"x-own": "1"}),
    "stream": lambda: StreamingResponse(iter([b"a", b"b"]), media_type="text/plain"),
    "set of what cannot be encoded": lambda: {object},
}
RAISED = (HTTPException(418, "short and stout"), Refused("refused"), Failed("failed"))
ANNOTATIONS: tuple[Any, ...] = (inspect.Signature.empty, list[Item], Item, Any, str, None, Response, dict[str, Any])


@st.composite
def endpoints(draw: st.DrawFn) -> dict[str, Any]:
    """How an endpoint is declared, and what it does."""
    asked = draw(st.sets(st.sampled_from(PLAIN)))
    if draw(st.sampled_from([False, False, False, True])):
        asked |= draw(st.sets(st.sampled_from(OTHERS)))
    annotation = draw(st.sampled_from(ANNOTATIONS))
    options = {
        "status_code": draw(st.sampled_from([None, None, 201, 204] if annotation in (None, Response) else [None, 201])),
        "response_model_exclude_none": draw(st.booleans()),
        "response_model_exclude_unset": draw(st.booleans()),
        "response_model_by_alias": draw(st.booleans()),
        "response_model_include": draw(st.sampled_from([None, None, {"no"}])),
    }
    kind = draw(st.sampled_from([None, None, None, HTMLResponse, PlainTextResponse]))
    if kind is not None:
        options["response_class"] = kind
    return {
        "asked": sorted(asked),
        "annotation": annotation,
        "options": options,
        "made": draw(st.sampled_from([*MADE, *RAISED])),
        "included": draw(st.booleans()),
        "wrapped": draw(st.booleans()),
        "in a thread": draw(st.sampled_from([False, False, False, True])),
        "after": draw(st.booleans()),
    }


QUERIES = ["", "q=1", "q=1&limit=3", "q=a", "q=1&words=a&words=b", "limit=x&q=1", "order=down&limit=2", "q=1&q=2&z=%ff"]


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """The target, and the rest of a request."""
    headers = draw(st.lists(st.sampled_from([(b"cookie", b"theme=dark"), (b"cookie", b"="), (b"user-agent", b"\xff")])))
    target = draw(st.sampled_from(["/7", "/7", "/seven"]))
    return target, {"query_string": draw(st.sampled_from(QUERIES)).encode(), "headers": headers}


class Service:
    """An application with one endpoint; the same declaration makes the same application."""

    def __init__(self, declared: dict[str, Any], *, short: bool) -> None:
        # FastAPI keeps where endpoints stand by ``id``, which one that is gone leaves to another.
        routing._endpoint_context_cache.clear()
        self.app, self.log, self._declared = FastAPI(openapi_url=None), Log(), declared
        self.app.add_exception_handler(Refused, self._answer_refused)
        router = APIRouter() if declared["included"] else self.app.router
        router.add_api_route("/{x}", self._endpoint(), methods=["GET", "POST"], **declared["options"])
        if declared["included"]:
            self.app.include_router(router, prefix="/in")
        if short:
            assert index_routes(self.app.router, shorten) is not None

    def _endpoint(self) -> Any:
        declared, log = self._declared, self.log

        def work(given: dict[str, Any]) -> Any:
            log.append(f"endpoint {sorted((name, self._said(each)) for name, each in given.items())}")
            if "tasks" in given:
                given["tasks"].add_task(log.append, "task")
            if "response" in given:
                given["response"].headers["x-told"] = "1"
                given["response"].status_code = 202
            made = declared["made"]
            if isinstance(made, Exception):
                raise type(made)(*made.args) if not isinstance(made, HTTPException) else made
            answer = MADE[made]()
            if isinstance(answer, Response) and declared["after"]:
                answer.background = BackgroundTask(log.append, "after")
            return answer

        async def endpoint(**given: Any) -> Any:
            return work(given)

        def endpoint_in_thread(**given: Any) -> Any:
            return work(given)

        found: Any = endpoint_in_thread if declared["in a thread"] else endpoint
        known = parameters(log)
        signature = inspect.Signature(
            [known[name] for name in declared["asked"]], return_annotation=declared["annotation"]
        )
        found.__signature__ = signature
        return self._wrapped(found) if declared["wrapped"] else found

    def _wrapped(self, inner: Any) -> Any:
        if not inspect.iscoroutinefunction(inner):
            return inner

        @functools.wraps(inner)
        async def outer(**given: Any) -> Any:
            self.log.append("wrapper")
            return await inner(**given)

        return outer

    @staticmethod
    def _said(value: Any) -> str:
        if isinstance(value, Request):
            keys = sorted(key for key in value.scope if key.startswith(("fastapi", "path", "route", "endpoint")))
            return f"{value.url} {dict(value.query_params)} {value.cookies} {value.path_params} {keys}"
        return type(value).__name__ if isinstance(value, Response | BackgroundTasks) else repr(value)

    async def _answer_refused(self, request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error} of {request.url.path}, {request.query_params}", status_code=409)

    async def outcome(self, target: str, rest: dict[str, Any]) -> Any:
        """All that can be seen of a request from outside, and the order of what was done."""
        self.log.clear()
        try:
            reply = await ask(self.app, ("/in" if self._declared["included"] else "") + target, **rest)
        except Exception as error:
            return type(error), str(error), list(self.log)
        return reply.status, reply.messages, list(self.log)


def one(asked: str, **rest: Any) -> dict[str, Any]:
    usual = {
        "annotation": inspect.Signature.empty,
        "options": {},
        "made": "fields",
        "included": False,
        "wrapped": False,
        "in a thread": False,
        "after": False,
    }
    return {"asked": asked.split(), **usual, **rest}


GET: tuple[str, dict[str, Any]] = ("/7", {"query_string": b"q=1"})


@example(one("request", annotation=list[Item], made="items"), [GET])
@example(
    one("limit q x", annotation=Item, made="fields", included=True), [GET, ("/seven", {"query_string": b"limit=x"})]
)
@example(one("request", annotation=Item, made="text"), [GET])
@example(one("", made="set of what cannot be encoded"), [GET])
@example(one("called yielded", made=RAISED[1]), [GET])
@example(one("x", made=RAISED[2]), [GET])
@example(one("x", annotation=None, options={"status_code": 204}, made="nothing"), [GET])
@given(endpoints(), st.lists(requests(), min_size=1, max_size=4))
@settings(max_examples=150)
def test_endpoints_answer_as_by_fastapis_own_handler(declared: dict[str, Any], asked: list[Any]) -> None:
    """Whatever is declared and asked: the same messages or errors, and all that is done is done in the same order."""

    async def run() -> None:
        plain, short = Service(declared, short=False), Service(declared, short=True)
        for target, rest in asked:
            assert await short.outcome(target, rest) == await plain.outcome(target, rest)

    try:
        Service(declared, short=False)
    except Exception:  # what FastAPI does not let anybody declare
        return
    asyncio.run(run())
