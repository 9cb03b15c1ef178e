"""The error shape in the OpenAPI document. Touches: the application's ``openapi`` method.

FastAPI documents its own validation error; what clients receive is the one shape, so that is what is shown, for 422 and
as the ``default`` response of every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tailrace.asgi.problem_details import ErrorShape

__all__ = ["document_errors"]

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
FASTAPI_MODELS = ("HTTPValidationError", "ValidationError")


def document_errors(app: Any, shape: ErrorShape) -> None:
    """Let ``app.openapi()`` show the shape. Does nothing for an application without one."""
    original: Callable[[], dict[str, Any]] | None = getattr(app, "openapi", None)
    if original is None:
        return

    def openapi() -> dict[str, Any]:
        document = original()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if shape.name not in schemas:
            schemas[shape.name] = dict(shape.schema)
            _describe(document, shape)
        return document

    app.openapi = openapi


def _describe(document: dict[str, Any], shape: ErrorShape) -> None:
    content = {shape.media_type: {"schema": {"$ref": f"#/components/schemas/{shape.name}"}}}
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
