"""The error shape, rate limits and versions in the OpenAPI document. Touches: the application's ``openapi`` method.

FastAPI documents its own validation error; what clients receive is the one shape, so that is what is shown, for 422 and
as the ``default`` response of every operation. What a version or an alias says of going away is said there, too.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from tailrace.asgi.api_versions import Alias, Versions, lies_below
from tailrace.asgi.problem_details import ErrorShape
from tailrace.fastapi.decorator import has_general_limits, limits_of
from tailrace.settings import RateLimitSettings

if TYPE_CHECKING:
    from tailrace.fastapi.routes import RouteTable

__all__ = ["document_errors", "document_limits", "document_versions"]

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
FASTAPI_MODELS = ("HTTPValidationError", "ValidationError")
LIMIT_FIELDS = {
    name: {"description": description, "schema": {"type": kind}}
    for name, kind, description in (
        ("Retry-After", "integer", "Seconds after which the request may be sent again."),
        ("RateLimit-Policy", "string", "The limits that count here."),
        ("RateLimit", "string", "What is left of those that refused."),
        ("X-RateLimit-Limit", "integer", "Requests that may be sent at once after a pause."),
        ("X-RateLimit-Remaining", "integer", "How many of those are left."),
        ("X-RateLimit-Reset", "integer", "Seconds until all of them are."),
    )
}
"""Header fields of a refusal."""


def document_errors(app: Any, shape: ErrorShape) -> None:
    """Let ``app.openapi()`` show the shape. Does nothing for an application without one."""
    original: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if original is None:
        return

    def openapi() -> dict[str, Any]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        missing = {each.name: dict(each.schema) for each in (shape, *shape.others) if each.name not in schemas}
        if missing:
            schemas |= missing
            _describe(document, shape)
        return document

    app.openapi = openapi


def document_versions(app: Any, versions: Versions) -> None:
    """Let ``app.openapi()`` show deprecated versions as such, and deprecated aliases beside what they stand for."""
    original: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if original is None:
        return
    prefixes = [version.prefix for version in versions.versions if version.deprecated is not None]

    def openapi() -> dict[str, Any]:
        document = original()
        paths: dict[str, Any] = document.get("paths", {})
        for path, item in paths.items():
            if any(lies_below(path, prefix) for prefix in prefixes):
                _deprecate(item)
        for alias in versions.aliases:
            if alias.deprecated is not None:
                _show_alias(paths, alias)
        return document

    app.openapi = openapi


def _deprecate(item: dict[str, Any]) -> None:
    for method, operation in item.items():
        if method in METHODS:
            operation["deprecated"] = True


def _show_alias(paths: dict[str, Any], alias: Alias) -> None:
    for path, item in list(paths.items()):
        old = alias.path + path[len(alias.target) :]
        if not lies_below(path, alias.target) or old in paths:
            continue
        shown = paths[old] = deepcopy(item)
        _deprecate(shown)
        for method, operation in shown.items():
            if method in METHODS and "operationId" in operation:
                operation["operationId"] += f"_at{old.replace('/', '_')}"


def _content(shape: ErrorShape) -> dict[str, Any]:
    return {
        each.media_type: {"schema": {"$ref": f"#/components/schemas/{each.name}"}} for each in (shape, *shape.others)
    }


def _describe(document: dict[str, Any], shape: ErrorShape) -> None:
    content = _content(shape)
    for path in document.get("paths", {}).values():
        for method, operation in path.items():
            if method in METHODS:
                responses = operation.setdefault("responses", {})
                if "HTTPValidationError" in str(responses.get("422", "")):
                    responses["422"] = {"description": "The request is not valid", "content": content}
                responses.setdefault("default", {"description": "Any failure", "content": content})
    schemas = document["components"]["schemas"]
    for name in FASTAPI_MODELS:
        others = {other: schema for other, schema in schemas.items() if other != name}
        if f"schemas/{name}'" not in str(others) and f"schemas/{name}'" not in str(document.get("paths")):
            schemas.pop(name, None)


def document_limits(app: Any, routes: RouteTable, settings: RateLimitSettings, shape: ErrorShape) -> None:
    """Let ``app.openapi()`` show 429 where a limit counts. Does nothing for an application without one."""
    original: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if original is None or not settings.enabled:
        return

    def openapi() -> dict[str, Any]:
        document = original()
        refused = {"description": "Too many requests", "headers": LIMIT_FIELDS, "content": _content(shape)}
        for template, method, endpoint in routes.declared():
            if limits_of(endpoint) or (settings.general and has_general_limits(endpoint)):
                operation = document.get("paths", {}).get(template, {}).get(method.lower())
                if operation is not None:
                    operation["responses"].setdefault("429", refused)
        return document

    app.openapi = openapi
