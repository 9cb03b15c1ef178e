"""Which header fields of a request a route's endpoint and dependencies are declared to read. Pure.

What an endpoint reads it may answer by, so that an answer of which nobody says more is for who sends the same.

**Source:** RFC 9111 section 4.1 (Vary, which applications seldom send); FastAPI, "Header Parameters" and "Cookie
Parameters".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

__all__ = ["declared_fields"]


def declared_fields(route: Any) -> frozenset[str]:
    """Their names in lower case, those of dependencies and models of fields included; ``cookie`` for any cookie."""
    dependant = getattr(route, "dependant", None)
    return frozenset() if dependant is None else frozenset(_names(dependant))


def _names(dependant: Any) -> Iterator[str]:
    for field in dependant.header_params:
        model = field.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            for name, each in model.model_fields.items():
                yield (each.alias or name.replace("_", "-")).lower()
        else:
            yield field.alias.lower()
    if dependant.cookie_params:
        yield "cookie"
    for each in dependant.dependencies:
        yield from _names(each)
