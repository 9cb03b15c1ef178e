"""Endpoints answered without what FastAPI prepares for all others. Touches: routes.

FastAPI's handler of a route makes a response to collect fields in, cookies, a multi-dictionary of the query and what
streams would need at each request, and walks the tree of dependencies, whether or not the endpoint has to do with any
of it. Where the endpoint is a coroutine that returns once, and what it is sent is JSON if anything, a handler stands in
its place that takes the same steps, by FastAPI's own functions, and leaves out the others; dependencies are called as
laid out once (``dependency_plan``). Exit stacks, exception handlers and the sending stay FastAPI's: around it stands
``request_response``, as before.

A request that is not as expected goes FastAPI's way from the beginning: dependencies are overridden, there is
telemetry, its body is not plainly JSON, or what the route depends on was changed meanwhile. A route is left alone if
its handler is not FastAPI's own, and all are where FastAPI's code is not what was known when this was written
(``KNOWN``).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Coroutine
from functools import cache, partial
from types import FunctionType
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tailrace.asgi.source_digest import source_digest
from tailrace.fastapi.dependency_plan import Plan, plan_of

try:
    from fastapi import params, routing
    from fastapi._body_limit import get_body_limit_error
    from fastapi._compat import Undefined
    from fastapi.datastructures import DefaultPlaceholder
    from fastapi.dependencies import models
    from fastapi.dependencies import utils as solving
    from fastapi.encoders import jsonable_encoder
    from fastapi.exceptions import RequestValidationError, ResponseValidationError
    from fastapi.utils import is_body_allowed_for_status_code
    from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
except ImportError:  # there is only Starlette
    routing = solving = models = None  # type: ignore[assignment]

__all__ = ["KNOWN", "can_shorten", "shorten", "steps_of_fastapi"]

KNOWN = frozenset({"195e50e47849a6c470ada8a4bd03f1c9d8eae42609c13d770342718c4100b853"})
"""What ``steps_of_fastapi`` gave for each FastAPI whose handler does as this one: 0.165."""

STEPS = (
    ("routing", "get_request_handler"),
    ("routing", "request_response"),
    ("routing", "run_endpoint_function"),
    ("routing", "serialize_response"),
    ("routing", "_build_response_args"),
    ("solving", "solve_dependencies"),
    ("solving", "_solve_generator"),
    ("solving", "request_params_to_args"),
    ("solving", "request_body_to_args"),
    ("models", "_get_cache_key"),
    ("models", "_get_computed_scope"),
)
"""The functions of FastAPI's that are followed here, or called."""

NOT_JSON: Any = object()

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@cache
def steps_of_fastapi() -> str:
    """The digest of ``STEPS``; "" where there is none, or one was replaced. Cost: milliseconds, once."""
    modules = {"routing": routing, "solving": solving, "models": models}
    return source_digest(getattr(modules[module], name, None) for module, name in STEPS)


def can_shorten() -> bool:
    """Whether this FastAPI is known. Reads its source once, so it is better asked before there are requests."""
    return steps_of_fastapi() in KNOWN


def shorten(route: Any) -> None:
    """Answer ``route`` in the short way, if it is plain; else leave it as it is.

    Args:
        route: one of FastAPI's, or what FastAPI made of it for the router that includes it.
    """
    if not can_shorten():
        return
    outer = getattr(route, "app", None)
    handler = _closed_over(outer, routing.request_response).get("f")
    declared = _closed_over(handler, routing.get_request_handler)
    if handler is None or not declared or not _is_plain(declared):
        return
    plan = plan_of(declared["dependant"], embeds=declared["embed_body_fields"])
    if plan is not None:
        make = _alone if plan.is_alone else _short
        route.app = routing.request_response(make(handler, declared, plan))


def _closed_over(function: Any, maker: Any) -> dict[str, Any]:
    """What ``function`` closed over, if it is what ``maker`` returns; else nothing."""
    if type(function) is not FunctionType or function.__code__ not in maker.__code__.co_consts:
        return {}
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


def _is_plain(declared: dict[str, Any]) -> bool:
    call, body = declared["dependant"].call, declared["body_field"]
    return (
        declared["is_coroutine"]
        and not declared["is_sse_stream"]
        and not declared["is_json_stream"]
        and not (body is not None and isinstance(body.field_info, params.Form))
        and inspect.iscoroutinefunction(call)
        and inspect.iscoroutinefunction(inspect.unwrap(call))
    )


def _alone(whole: Handler, declared: dict[str, Any], plan: Plan) -> Handler:
    """The handler that stands before ``whole``, which is FastAPI's, where an endpoint needs parameters at most."""
    dependant, encode = declared["dependant"], _encoding(declared)
    call = dependant.call

    async def handle(request: Request) -> Response:
        scope = request.scope
        if (
            dependant.call is not call
            or dependant.dependencies
            or "fastapi.telemetry" in scope
            or "fastapi_middleware_astack" not in scope
        ):
            return await whole(request)
        values = plan.read(request)
        if values is None:
            return await whole(request)
        made = await call(**values)
        return made if isinstance(made, Response) else encode(request, made, None, None)

    return handle


def _short(whole: Handler, declared: dict[str, Any], plan: Plan) -> Handler:
    """The handler that stands before ``whole``, where an endpoint needs dependencies or a body."""
    dependant, provider, encode = declared["dependant"], declared["dependency_overrides_provider"], _encoding(declared)
    call, takes_body = dependant.call, declared["body_field"] is not None

    async def handle(request: Request) -> Response:
        scope = request.scope
        if (
            not plan.holds()
            or (provider and provider.dependency_overrides)
            or "fastapi.telemetry" in scope
            or "fastapi_middleware_astack" not in scope
        ):
            return await whole(request)
        body: Any = Undefined
        if takes_body:
            body = await _json(request)
            if body is NOT_JSON:
                return await whole(request)
        solved = await plan.solve(request, body)
        if solved.errors:
            sent = None if body is Undefined else body
            raise RequestValidationError(solved.errors, body=sent, endpoint_ctx=_context(request, dependant))
        made = await call(**solved.values)
        if not isinstance(made, Response):
            return encode(request, made, solved.response, solved.background)
        if made.background is None:
            made.background = solved.background
        return made

    return handle


async def _json(request: Request) -> Any:
    """The body, ``Undefined`` if there is none; ``NOT_JSON`` if it is not, or not plainly said to be, JSON.

    What was read is kept by ``request``, for who reads it again.

    Raises:
        HTTPException: it could not be read, as FastAPI tells it.
    """
    if request.headers.get("content-type") != "application/json":
        return NOT_JSON
    try:
        return await request.json() if await request.body() else Undefined
    except json.JSONDecodeError:
        return NOT_JSON
    except HTTPException:
        raise
    except Exception as error:
        if MAX_BODY_SIZE_SCOPE_KEY in request.scope and (too_large := get_body_limit_error(error)):
            raise too_large from error
        raise HTTPException(status_code=400, detail="There was an error parsing the body") from error


def _encoding(declared: dict[str, Any]) -> Callable[[Request, Any, Response | None, Any], Response]:
    """Makes a response of what the endpoint returned, as its route declares, and of what dependencies told."""
    field, kind = declared["response_field"], declared["response_class"]
    by_default = field is not None and isinstance(kind, DefaultPlaceholder)
    made_by = partial(Response, media_type="application/json") if by_default else declared["actual_response_class"]
    status = declared["status_code"]
    make = partial(made_by, status_code=status) if status else made_by
    content = _content(declared, as_bytes=by_default)

    def encode(request: Request, made: Any, told: Response | None, background: Any) -> Response:
        if told is None:
            return _allowed(make(content(request, made), background=background))
        code: int | None = told.status_code
        # To FastAPI a status is told unless it is None, but a declared one goes before 0.
        said = {"status_code": code} if code or (code is not None and not status) else {}
        response = _allowed(make(content(request, made), background=background, **said))
        response.headers.raw.extend(told.headers.raw)
        return response

    return encode


def _content(declared: dict[str, Any], *, as_bytes: bool) -> Callable[[Request, Any], Any]:
    """Makes of what the endpoint returned what the route's class of responses takes."""
    field = declared["response_field"]
    if field is None:
        return lambda request, made: jsonable_encoder(made)
    options = {name.removeprefix("response_model_"): declared[name] for name in declared if "_model_" in name}
    serialize = partial(field.serialize_json if as_bytes else field.serialize, **options)
    validate = field.validate

    def validated(request: Request, made: Any) -> Any:
        value, errors = validate(made, {}, loc=("response",))
        if errors:
            context = _context(request, declared["dependant"])
            raise ResponseValidationError(errors=errors, body=made, endpoint_ctx=context)
        return serialize(value)

    return validated


def _allowed(response: Response) -> Response:
    """``response``, without its body where its status allows none."""
    if not is_body_allowed_for_status_code(response.status_code):
        response.body = b""
    return response


def _context(request: Request, dependant: Any) -> Any:
    """Where the endpoint is, as FastAPI's errors say it."""
    context = routing._extract_endpoint_context(dependant.call)
    if dependant.path:
        context["path"] = f"{request.method} {request.scope.get('root_path', '').rstrip('/')}{dependant.path}"
    return context
