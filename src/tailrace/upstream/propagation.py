"""What of the request being answered is passed on to the services it calls. Touches: two context variables.

It is the request's id and its place in its trace, as the front door knows them, or what ``propagated_headers`` says in
their place, for work that outlives its request; of these what is on the list. A value that could not be sent as it
stands (line breaks, other control characters, not ASCII, too long) is left out rather than repaired.

**Source:** W3C Trace Context (``traceparent``, ``tracestate``); RFC 9110 section 5.5 (field values).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar

from tailrace.context import identifying_headers

__all__ = ["PASSED_ON", "headers_to_pass_on", "passed_on", "propagated_headers"]

propagated_headers: ContextVar[Mapping[str, str] | None] = ContextVar("tailrace_propagated_headers", default=None)
"""Header names (lower case) and values that calls carry in place of those of the request being answered; None: none."""

PASSED_ON = frozenset({"x-request-id", "traceparent", "tracestate"})
"""The only headers ever passed on, whatever the variable holds: never cookies or credentials."""

_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,510}[\x21-\x7e])?")


def passed_on() -> dict[str, str]:
    """Names and values of what calls made now carry."""
    given = propagated_headers.get()
    known = identifying_headers() if given is None else given
    return {name: value for name, value in known.items() if name in PASSED_ON and _SENDABLE.fullmatch(value)}


def headers_to_pass_on() -> list[tuple[bytes, bytes]]:
    """The same as the header fields to add to a call made now."""
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in passed_on().items()]
