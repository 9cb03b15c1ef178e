"""Whether a route asks who its client is. Pure."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

try:
    from fastapi.security.base import SecurityBase
except ImportError:  # there is only Starlette, which has no dependencies
    SecurityBase = None  # type: ignore[assignment,misc]

__all__ = ["has_security_scheme"]


def has_security_scheme(route: Any) -> bool:
    """True if one of the route's dependencies, its router's included, is a security scheme of FastAPI's."""
    dependant = getattr(route, "dependant", None)
    return SecurityBase is not None and dependant is not None and _asks(dependant)


def _asks(dependant: Any) -> bool:
    call = dependant.call
    while isinstance(call, partial):
        call = call.func
    return isinstance(inspect.unwrap(call) if callable(call) else call, SecurityBase) or any(
        _asks(each) for each in dependant.dependencies
    )
