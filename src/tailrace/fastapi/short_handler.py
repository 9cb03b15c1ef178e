"""Plain endpoints answered without what FastAPI prepares for all others. Touches: routes.

FastAPI's handler of a route makes a response to collect fields in, cookies, a multi-dictionary of the query and what
streams would need at each request, whether or not the endpoint has to do with any of it. Where it is known from the
declaration that it has not (a coroutine, parameters from path, query, header and cookies only, no dependencies, no
body), a handler stands in its place that takes the same steps, by FastAPI's own functions, and leaves out the others.
Exit stacks, exception handlers and the sending stay FastAPI's: around it stands ``request_response``, as before.

A request that is not as expected goes FastAPI's way from the beginning: a parameter is not valid, there is telemetry,
or the route's dependencies were changed meanwhile. A route is left alone if its handler is not FastAPI's own,
and all are where FastAPI's code is not what was known when this was written (``KNOWN``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import cache, partial
from types import FunctionType
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tailrace.asgi.source_digest import source_digest

try:
    from fastapi import routing
    from fastapi.datastructures import DefaultPlaceholder
    from fastapi.dependencies import utils as solving
    from fastapi.encoders import jsonable_encoder
    from fastapi.exceptions import ResponseValidationError
    from fastapi.utils import is_body_allowed_for_status_code
except ImportError:  # there is only Starlette
    routing = None  # type: ignore[assignment]

__all__ = ["KNOWN", "can_shorten", "shorten", "steps_of_fastapi"]

KNOWN = frozenset({"144b269be4e6ff4912083821f84677f713b0b29f118c85d5a9dd0f455800e559"})
"""What ``steps_of_fastapi`` gave for each FastAPI whose handler does as this one: 0.165."""

STEPS = (
    ("routing", "get_request_handler"),
    ("routing", "request_response"),
    ("routing", "run_endpoint_function"),
    ("routing", "serialize_response"),
    ("routing", "_build_response_args"),
    ("solving", "solve_dependencies"),
    ("solving", "request_params_to_args"),
)
"""The functions of FastAPI's that are followed here, or called."""

SOURCES = (
    ("path_params", "path_params"),
    ("query_params", "query_params"),
    ("header_params", "headers"),
    ("cookie_params", "cookies"),
)
"""Kinds of parameters in the order in which FastAPI reads them, and the request's attribute that has them."""

NEEDS = ("http_connection", "response", "background_tasks", "security_scopes", "websocket")
"""What else an endpoint may ask for, other than the request, which is not plain."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@cache
def steps_of_fastapi() -> str:
    """The digest of ``STEPS``; "" where there is none, or one was replaced. Cost: milliseconds, once."""
    return source_digest(getattr(globals().get(module), name, None) for module, name in STEPS)


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
    if handler is not None and declared and _is_plain(declared):
        route.app = routing.request_response(_short(handler, declared))


def _closed_over(function: Any, maker: Any) -> dict[str, Any]:
    """What ``function`` closed over, if it is what ``maker`` returns; else nothing."""
    if type(function) is not FunctionType or function.__code__ not in maker.__code__.co_consts:
        return {}
    cells = function.__closure__ or ()
    return {name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, cells, strict=True)}


def _is_plain(declared: dict[str, Any]) -> bool:
    dependant = declared["dependant"]
    call = dependant.call
    return (
        declared["body_field"] is None
        and declared["is_coroutine"]
        and not declared["is_sse_stream"]
        and not declared["is_json_stream"]
        and not dependant.dependencies
        and not dependant.body_params
        and not any(getattr(dependant, f"{need}_param_name") for need in NEEDS)
        and inspect.iscoroutinefunction(call)
        and inspect.iscoroutinefunction(inspect.unwrap(call))
    )


def _short(whole: Handler, declared: dict[str, Any]) -> Handler:
    """The handler that stands before ``whole``, which is FastAPI's."""
    dependant = declared["dependant"]
    call, request_name = dependant.call, dependant.request_param_name
    asked = [(fields, source) for kind, source in SOURCES if (fields := getattr(dependant, kind))]
    read, encode = solving.request_params_to_args, _encoding(declared)

    async def handle(request: Request) -> Response:
        scope = request.scope
        if (
            dependant.call is not call
            or dependant.dependencies
            or "fastapi.telemetry" in scope
            or "fastapi_middleware_astack" not in scope
        ):
            return await whole(request)
        values: dict[str, Any] = {}
        for fields, source in asked:
            found, errors = read(fields, getattr(request, source))
            if errors:
                return await whole(request)
            values.update(found)
        if request_name:
            values[request_name] = request
        made = await call(**values)
        return made if isinstance(made, Response) else encode(request, made)

    return handle


def _encoding(declared: dict[str, Any]) -> Callable[[Request, Any], Response]:
    """Makes a response of what the endpoint returned, as its route declares."""
    field, kind = declared["response_field"], declared["response_class"]
    status = {"status_code": declared["status_code"]} if declared["status_code"] else {}
    by_default = isinstance(kind, DefaultPlaceholder)
    if field is None:
        make = partial(declared["actual_response_class"], background=None, **status)

        def encode(request: Request, made: Any) -> Response:
            return _allowed(make(jsonable_encoder(made)))

        return encode
    options = {name.removeprefix("response_model_"): declared[name] for name in declared if "_model_" in name}
    serialize = partial(field.serialize_json if by_default else field.serialize, **options)
    validate = field.validate
    if by_default:
        make = partial(Response, media_type="application/json", background=None, **status)
    else:
        make = partial(kind, background=None, **status)

    def validate_and_encode(request: Request, made: Any) -> Response:
        value, errors = validate(made, {}, loc=("response",))
        if errors:
            context = _context(request, declared["dependant"])
            raise ResponseValidationError(errors=errors, body=made, endpoint_ctx=context)
        return make(serialize(value))

    return validate_and_encode


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
