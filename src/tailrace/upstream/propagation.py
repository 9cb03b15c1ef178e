"""What of the request being answered is passed on to the services it calls. Touches: one context variable.

The front door sets ``propagated_headers``; the client sends those of them that are on its list. A value that could not
be sent as it stands (line breaks, other control characters, not ASCII, too long) is left out rather than repaired.

**Source:** W3C Trace Context (``traceparent``, ``tracestate``); RFC 9110 section 5.5 (field values).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

__all__ = ["PASSED_ON", "headers_to_pass_on", "propagated_headers"]

propagated_headers: ContextVar[Mapping[str, str]] = ContextVar(
    "tailrace_propagated_headers", default=MappingProxyType({})
)
"""Header names (lower case) and values of the current request that calls made for it carry as well."""

PASSED_ON = frozenset({"x-request-id", "traceparent", "tracestate"})
"""The only headers ever passed on, whatever the variable holds: never cookies or credentials."""

_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,510}[\x21-\x7e])?")


def headers_to_pass_on() -> list[tuple[bytes, bytes]]:
    """The headers to add to a call made now."""
    return [
        (name.encode("ascii"), value.encode("ascii"))
        for name, value in propagated_headers.get().items()
        if name in PASSED_ON and _SENDABLE.fullmatch(value)
    ]
