from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Header, HTTPException, Query, Request, routing
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.requests import HTTPConnection
from starlette.responses import Response
from tests.unit.asgi.driver import http_scope

from tailrace.fastapi.indexed_routes import index_routes
from tailrace.fastapi.short_handler import shorten

KINDS = ("coroutine", "coroutine", "thread", "async generator", "generator")
ASKED: dict[str, tuple[Any, Any]] = {
    "request": (Request, inspect.Parameter.empty),
    "connection": (HTTPConnection, inspect.Parameter.empty),
    "x": (int, inspect.Parameter.empty),
    "q": (int, 1),
    "words": (Annotated[list[str], Query()], []),
    "limit": (Annotated[int, Query(le=5)], 3),
    "x_own": (Annotated[int | None, Header()], None),
    "response": (Response, inspect.Parameter.empty),
    "tasks": (BackgroundTasks, inspect.Parameter.empty),
    "body": (Annotated[dict[str, int], Body()], inspect.Parameter.empty),
}
ACTS = (None, None, None, None, "refuse", "fail", "say 418", "fail at the end", "pass over", "say 204", "say 0")


class Answer(BaseModel):
    """What is answered."""

    number: int = 1
    given: str = ""


class Refused(Exception):
    """Handled by the application."""


class Failed(Exception):
    """Handled by nobody."""


def act(what: str | None, given: dict[str, Any]) -> None:
    """Do what a dependency or an endpoint is told to do."""
    if what == "refuse":
        raise Refused("refused")
    if what == "fail":
        raise Failed("failed")
    if what == "say 418":
        raise HTTPException(418, "short and stout", headers={"x-raised": "1"})
    if "response" in given:
        given["response"].headers.append("x-told", str(what))
        if what in ("say 204", "say 0"):
            given["response"].status_code = int(what.removeprefix("say "))


def said(value: Any) -> str:
    if isinstance(value, Request | HTTPConnection):
        return f"{type(value).__name__} {value.url}"
    return type(value).__name__ if isinstance(value, Response | BackgroundTasks) else repr(value)


@st.composite
def dependencies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Each may need those before it."""
    return [
        {
            "kind": draw(st.sampled_from(KINDS)),
            "asked": sorted(draw(st.sets(st.sampled_from(sorted(ASKED)), max_size=3))),
            "needs": draw(needed(number)),
            "act": draw(st.sampled_from(ACTS)),
        }
        for number in range(draw(st.integers(0, 4)))
    ]


@st.composite
def needed(draw: st.DrawFn, known: int) -> list[tuple[int, bool, str | None]]:
    """Which of the ``known``, whether a value is used again, and when a generator is left; one may be there twice."""
    if not known:
        return []
    one = st.tuples(st.integers(0, known - 1), st.sampled_from([True, True, False]), SCOPES)
    return draw(st.lists(one, max_size=3))


SCOPES = st.sampled_from([None, None, "function", "request"])


@st.composite
def services(draw: st.DrawFn) -> dict[str, Any]:
    """How an endpoint and what it depends on are declared, and what they do."""
    made = draw(dependencies())
    return {
        "dependencies": made,
        "asked": sorted(draw(st.sets(st.sampled_from(sorted(ASKED)), max_size=3))),
        "needs": draw(needed(len(made))),
        "aside": draw(needed(len(made))),
        "act": draw(st.sampled_from(ACTS)),
        "answer": draw(
            st.sampled_from(["model", "model", "fields", "response", "response after", "stream", "nothing"])
        ),
        "declared": draw(st.sampled_from([inspect.Signature.empty, Answer, Any])),
        "status": draw(st.sampled_from([None, None, 201])),
        "overridden": draw(st.sampled_from([None, None, None, 0])),
        "included": draw(st.booleans()),
        "secured": draw(st.booleans()),
    }


def function_of(kind: str, begin: Any, end: Any) -> Any:
    """A function of that kind, that does ``begin``, and ``end`` after what it yields."""

    async def coroutine(**given: Any) -> str:
        return str(begin(given))

    def thread(**given: Any) -> str:
        return str(begin(given))

    async def async_generator(**given: Any) -> AsyncIterator[str]:
        call, error = begin(given), None
        try:
            yield call
        except Exception as raised:
            error = raised
        end(call, error)

    def generator(**given: Any) -> Iterator[str]:
        call, error = begin(given), None
        try:
            yield call
        except Exception as raised:
            error = raised
        end(call, error)

    kinds = {"async generator": async_generator, "generator": generator, "coroutine": coroutine}
    return kinds.get(kind, thread)


class Service:
    """An application with one endpoint; the same declaration makes the same application."""

    def __init__(self, declared: dict[str, Any], *, short: bool) -> None:
        routing._endpoint_context_cache.clear()
        self.app, self.log, self._declared = FastAPI(openapi_url=None), [], declared
        self.app.add_exception_handler(Refused, self._answer_refused)
        self.app.add_exception_handler(RequestValidationError, self._tell_what_is_not_valid)
        self._functions: list[Any] = []
        for number, each in enumerate(declared["dependencies"]):
            self._functions.append(self._dependency(f"d{number}", each))
        if declared["overridden"] is not None and self._functions:
            self.app.dependency_overrides[self._functions[0]] = self._overriding
        aside = [self._depends(each) for each in declared["aside"]]
        if declared["secured"]:
            aside += [Depends(APIKeyHeader(name="x-own", auto_error=False)), Depends(HTTPBearer(auto_error=False))]
        router = APIRouter() if declared["included"] else self.app.router
        router.add_api_route(
            "/{x}", self._endpoint(), methods=["POST"], dependencies=aside, status_code=declared["status"]
        )
        if declared["included"]:
            self.app.include_router(router, prefix="/in", dependencies=aside[:1])
        if short:
            assert index_routes(self.app.router, shorten) is not None

    def _depends(self, needed: tuple[int, bool, str | None]) -> Any:
        number, use_cache, scope = needed
        generates = "generator" in self._declared["dependencies"][number]["kind"]
        return Depends(self._functions[number], use_cache=use_cache, scope=scope if generates else None)

    def _signature(self, each: dict[str, Any], returns: Any = inspect.Signature.empty) -> inspect.Signature:
        known = {name: ASKED[name] for name in each["asked"]}
        for place, needed in enumerate(each["needs"]):
            known[f"n{place}"] = Annotated[Any, self._depends(needed)], inspect.Parameter.empty
        only = inspect.Parameter.KEYWORD_ONLY
        found = [inspect.Parameter(name, only, annotation=kind, default=value) for name, (kind, value) in known.items()]
        return inspect.Signature(found, return_annotation=returns)

    def _dependency(self, name: str, each: dict[str, Any]) -> Any:
        log, what, calls = self.log, each["act"], iter(range(1000))

        def begin(given: dict[str, Any]) -> str:
            call = f"{name}.{next(calls)}"
            log.append(f"{call} {sorted((key, said(value)) for key, value in given.items())}")
            if "tasks" in given:
                given["tasks"].add_task(log.append, f"task of {call}")
            act(what, given)
            return call

        def end(call: str, error: Exception | None) -> None:
            log.append(f"end of {call} by {error!r}")
            if what == "fail at the end":
                raise Failed(f"at the end of {call}")
            if error is not None and what != "pass over":
                raise error

        found = function_of(each["kind"], begin, end)
        found.__signature__ = self._signature(each)
        return found

    async def _overriding(self, q: int = 2) -> str:
        self.log.append(f"overriding {q}")
        return "overridden"

    def _endpoint(self) -> Any:
        declared, log = self._declared, self.log

        async def endpoint(**given: Any) -> Any:
            log.append(f"endpoint {sorted((key, said(value)) for key, value in given.items())}")
            if "tasks" in given:
                given["tasks"].add_task(log.append, "task of the endpoint")
            act(declared["act"], given)
            return self._answer(sorted(given))

        signed: Any = endpoint
        signed.__signature__ = self._signature(declared, declared["declared"])
        return endpoint

    def _answer(self, given: list[str]) -> Any:
        kind = self._declared["answer"]
        if kind == "stream":
            return StreamingResponse(iter([b"a", b"b"]), media_type="text/plain")
        if kind.startswith("response"):
            after = BackgroundTask(self.log.append, "after") if kind == "response after" else None
            return PlainTextResponse("ready", status_code=203, headers={"x-own": "1"}, background=after)
        return {"model": Answer(given=str(given)), "fields": {"number": 2}, "nothing": None}[kind]

    @staticmethod
    async def _answer_refused(request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{error} of {request.url.path}", status_code=409)

    @staticmethod
    async def _tell_what_is_not_valid(request: Request, error: Any) -> Response:
        return PlainTextResponse(f"{error.errors()} in {error.body} {error} {error.endpoint_ctx}", status_code=422)

    async def outcome(self, asked: dict[str, Any]) -> Any:
        """All that can be seen of a request from outside, and the order of what was done."""
        self.log.clear()
        path = ("/in" if self._declared["included"] else "") + asked["target"]
        headers = [(b"host", b"testserver"), *asked["headers"]]
        parts = iter(asked["parts"])

        async def receive() -> dict[str, Any]:
            part = next(parts, None)
            if part is None:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": part, "more_body": True} if part else {"type": "http.request"}

        async def send(message: Any) -> None:
            self.log.append(f"{message}")

        scope = http_scope(path, method="POST", query_string=asked["query"], headers=headers)
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            return type(error), str(error), error.__cause__ and repr(error.__cause__), list(self.log)
        return list(self.log)


REQUESTS = st.fixed_dictionaries(
    {
        "target": st.sampled_from(["/7", "/7", "/7", "/seven"]),
        "query": st.sampled_from([b"", b"", b"q=2", b"q=a", b"limit=9", b"words=a&words=b&limit=2", b"q=a&limit=9"]),
        "headers": st.tuples(
            st.sampled_from([(b"x-own", b"5"), (b"x-own", b"five"), (b"authorization", b"Bearer t")]),
            st.sampled_from(
                [
                    (b"content-type", b"application/json"),
                    (b"content-type", b"application/json"),
                    (b"content-type", b"application/problem+json; charset=utf-8"),
                    (b"content-type", b"text/plain"),
                    (b"x-none", b""),
                ]
            ),
        ),
        "parts": st.sampled_from(
            [
                [b'{"a": 1}', b""],
                [b'{"a"', b": 2}", b""],
                [b'{"a": "b"}', b""],
                [b'{"a', b""],
                [b"\xff", b""],
                [b""],
                [b"{"],
            ]
        ),
    }
)
ASK = {
    "target": "/7",
    "query": b"",
    "headers": ((b"x-own", b"5"), (b"content-type", b"application/json")),
    "parts": [b'{"a": 1}', b""],
}


def dependency(kind: str = "coroutine", asked: str = "", *needs: Any, act: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "asked": asked.split(), "needs": list(needs), "act": act}


def service(made: list[Any], asked: str = "", needs: Any = (), **rest: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "aside": [],
        "act": None,
        "answer": "model",
        "declared": Answer,
        "status": None,
        "overridden": None,
        "included": False,
        "secured": False,
    }
    return {"dependencies": made, "asked": asked.split(), "needs": list(needs), **usual, **rest}


KEPT, ANEW = (0, True, None), (0, False, None)


@example(
    service([dependency(asked="q")], "limit", [KEPT, ANEW, KEPT], secured=True), [ASK, ASK | {"query": b"q=a&limit=9"}]
)
@example(service([dependency("async generator")], needs=[(0, True, "function"), (0, True, "request")]), [ASK])
@example(service([dependency("async generator", act="pass over")], needs=[KEPT], act="fail"), [ASK])
@example(service([dependency("generator", act="fail at the end")], needs=[KEPT], act="say 418"), [ASK])
@example(service([dependency(asked="response", act="say 204")], "response", [KEPT], status=201), [ASK])
@example(service([dependency(asked="response", act="say 0")], needs=[KEPT], status=201), [ASK])
@example(service([dependency(asked="response", act="say 0")], needs=[KEPT]), [ASK])
@example(service([], "x q body"), [ASK | {"target": "/seven", "query": b"q=a", "parts": [b'{"a": "b"}', b""]}])
@example(service([dependency(asked="tasks body")], "tasks body", [KEPT], answer="response after"), [ASK])
@example(service([dependency(asked="body")], "body", [KEPT]), [ASK | {"parts": [b'{"a', b""]}, ASK | {"parts": [b"{"]}])
@example(service([dependency(), dependency("coroutine", "", KEPT)], needs=[(1, True, None)], overridden=0), [ASK])
@given(services(), st.lists(REQUESTS, min_size=1, max_size=3))
@settings(max_examples=120)
def test_dependencies_are_called_as_fastapi_calls_them(declared: dict[str, Any], asked: list[Any]) -> None:
    """Whatever depends on what, fails or is not valid: the same messages, errors and ends, all in the same order."""
    try:
        Service(declared, short=False)
    except Exception:  # what FastAPI does not let anybody declare
        return

    async def run() -> None:
        plain, short = Service(declared, short=False), Service(declared, short=True)
        for each in asked:
            assert await short.outcome(each) == await plain.outcome(each)

    asyncio.run(run())
