"""What an endpoint needs, laid out once in the order in which FastAPI finds it. Touches: what dependencies touch.

FastAPI's ``solve_dependencies`` walks the tree of dependencies at each request: a coroutine for each, and for each anew
what kind of function it is, under which key its value is kept, and four looks for parameters that it has not. None of
that depends on the request. Here the tree is a list of steps, innermost first, made once: the same functions are called
in the same order with the same values, and a value is kept, and used again, under the same key. Parameters are read,
generators entered and bodies taken apart by FastAPI's own functions.

**Source:** FastAPI 0.165, ``solve_dependencies``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

try:
    from fastapi import BackgroundTasks
    from fastapi.dependencies import models
    from fastapi.dependencies import utils as solving
except ImportError:  # there is only Starlette
    models = solving = None  # type: ignore[assignment]

__all__ = ["Plan", "Solved", "plan_of"]

SOURCES = (
    ("path_params", "path_params"),
    ("query_params", "query_params"),
    ("header_params", "headers"),
    ("cookie_params", "cookies"),
)
"""Kinds of parameters in the order in which FastAPI reads them, and the request's attribute that has them."""

FAILED: Any = object()
"""In the place of a value that was not made, since something was not valid."""

COROUTINE, THREAD, GENERATOR, ENDPOINT = range(4)
"""How a step is called; the endpoint is not, by the plan."""


@dataclass(slots=True)
class Solved:
    """What the endpoint is called with, and what was found on the way to it."""

    values: dict[str, Any]
    errors: list[Any]
    """What is not valid, as FastAPI tells it; with any, the endpoint is not called."""
    response: Response | None
    """In which dependencies set fields and a status; None where none asks for it."""
    background: Any
    """Tasks for later; None where none asks for them."""


@dataclass(frozen=True, slots=True)
class Step:
    """One dependency, or the endpoint itself, which is the last."""

    dependant: Any
    kind: int
    needs: tuple[tuple[str | None, int], ...]
    """Which steps' values it is called with, and under which names."""
    asked: tuple[tuple[list[Any], str], ...]
    """Its parameters, and the request's attribute that has them."""
    connection_names: tuple[str, ...]
    response_name: str | None
    tasks_name: str | None
    takes_body: bool
    key: int
    """The number of the key under which its value is kept."""

    def values(self, request: Request, found: list[Any], errors: list[Any]) -> dict[str, Any] | None:
        """By name, without what is in the body; None, and ``errors`` longer, where something is not valid."""
        values: dict[str, Any] = {}
        failed = False
        for name, step in self.needs:
            value = found[step]
            if value is FAILED:
                failed = True
            elif name is not None:
                values[name] = value
        for fields, source in self.asked:
            read, wrong = solving.request_params_to_args(fields, getattr(request, source))
            values.update(read)
            if wrong:
                failed = True
                errors += wrong
        return None if failed else values

    def give(self, values: dict[str, Any], request: Request, response: Response | None, background: Any) -> None:
        """Put what is made for the request among ``values``, where it is asked for."""
        for name in self.connection_names:
            values[name] = request
        if self.tasks_name is not None:
            values[self.tasks_name] = background
        if self.response_name is not None:
            values[self.response_name] = response

    def call(self, values: dict[str, Any], request: Request) -> Awaitable[Any]:
        """Its value, to be waited for: where it is no coroutine, from a thread, or what a generator yields first."""
        function = self.dependant.call
        if self.kind == COROUTINE:
            return function(**values)  # type: ignore[no-any-return]
        if self.kind == THREAD:
            return run_in_threadpool(function, **values)
        stack = request.scope[
            "fastapi_function_astack" if self.dependant.scope == "function" else "fastapi_inner_astack"
        ]
        return solving._solve_generator(dependant=self.dependant, stack=stack, sub_values=values, request=request)


class Plan:
    """The steps towards one endpoint.

    Args:
        steps: each behind those whose values it needs.
        embeds: whether each of the body's fields stands under its name, as FastAPI found.

    Attributes:
        is_alone: the endpoint needs parameters and the request, and nothing else.
    """

    def __init__(self, steps: tuple[Step, ...], *, embeds: bool) -> None:
        self._steps = steps
        self._embeds = embeds
        self._dependants = [step.dependant for step in steps]
        self._calls = [each.call for each in self._dependants]
        self._dependencies = [list(each.dependencies) for each in self._dependants]
        self._tells = any(step.response_name for step in steps)
        self._defers = any(step.tasks_name for step in steps)
        self.is_alone = len(steps) == 1 and not (steps[0].takes_body or self._tells or self._defers)

    def holds(self) -> bool:
        """False where a dependency was added, or another function put in the place of one, since the plan was made."""
        dependants = self._dependants
        return [each.call for each in dependants] == self._calls and [
            each.dependencies for each in dependants
        ] == self._dependencies

    def read(self, request: Request) -> dict[str, Any] | None:
        """What an endpoint that ``is_alone`` is called with; None, if something is not valid."""
        values = self._steps[0].values(request, [], [])
        if values is not None:
            self._steps[0].give(values, request, None, None)
        return values

    async def solve(self, request: Request, body: Any) -> Solved:
        """Call all dependencies. Cost: 9 microseconds for one that is a coroutine and does nothing, 101 in a thread.

        Args:
            request: inside of FastAPI's exit stacks.
            body: as FastAPI hands it to ``solve_dependencies``.
        """
        errors: list[Any] = []
        found: list[Any] = []
        kept: dict[int, Any] = {}
        background = BackgroundTasks() if self._defers else None
        response = _collecting() if self._tells else None
        for step in self._steps:
            values = step.values(request, found, errors)
            if step.takes_body:
                values = await self._with_body(step, values, body, errors)
            if values is None:
                found.append(FAILED)
                continue
            step.give(values, request, response, background)
            key = step.key
            if step.kind == ENDPOINT:
                return Solved(values, errors, response, background)
            if key in kept and step.dependant.use_cache:
                found.append(kept[key])
                continue
            value = await step.call(values, request)
            if key not in kept:
                kept[key] = value
            found.append(value)
        return Solved({}, errors, response, background)

    async def _with_body(
        self, step: Step, values: dict[str, Any] | None, body: Any, errors: list[Any]
    ) -> dict[str, Any] | None:
        read, wrong = await solving.request_body_to_args(
            body_fields=step.dependant.body_params, received_body=body, embed_body_fields=self._embeds
        )
        errors += wrong
        return None if wrong or values is None else values | read


def plan_of(dependant: Any, *, embeds: bool) -> Plan | None:
    """The plan of what FastAPI declared, or None where it asks for what no plan has.

    That is: security scopes, WebSockets, limits of concurrency, and functions that are no keys.

    Args:
        dependant: the endpoint's.
        embeds: see ``Plan``.
    """
    keys: dict[Any, int] = {}
    steps: list[Step] = []

    def add(each: Any) -> int:
        needs = tuple((needed.name, add(needed)) for needed in each.dependencies)
        key = models._get_cache_key(dependant=each, uses_scopes_cache={})
        steps.append(
            _step(each, ENDPOINT if each is dependant else _kind(each.call), needs, keys.setdefault(key, len(keys)))
        )
        return len(steps) - 1

    if any(
        each.security_scopes_param_name or each.websocket_param_name or each.concurrency is not None
        for each in _tree(dependant)
    ):
        return None
    try:
        add(dependant)
    except TypeError:  # a function that cannot be hashed
        return None
    return Plan(tuple(steps), embeds=embeds)


def _tree(dependant: Any) -> Iterator[Any]:
    yield dependant
    for each in dependant.dependencies:
        yield from _tree(each)


def _step(dependant: Any, kind: int, needs: tuple[tuple[str | None, int], ...], key: int) -> Step:
    names = (dependant.http_connection_param_name, dependant.request_param_name)
    return Step(
        dependant,
        kind,
        needs,
        asked=tuple((fields, source) for attribute, source in SOURCES if (fields := getattr(dependant, attribute))),
        connection_names=tuple(name for name in names if name),
        response_name=dependant.response_param_name or None,
        tasks_name=dependant.background_tasks_param_name or None,
        takes_body=bool(dependant.body_params),
        key=key,
    )


def _kind(call: Callable[..., Any]) -> int:
    if models._is_gen_callable(call) or models._is_async_gen_callable(call):
        return GENERATOR
    return COROUTINE if models._is_coroutine_callable(call) else THREAD


def _collecting() -> Response:
    """The response in which FastAPI lets dependencies set fields."""
    response = Response()
    del response.headers["content-length"]
    response.status_code = None  # type: ignore[assignment]
    return response
