"""W3C trace context: read strictly, continued or begun. Pure but for the random bytes handed in.

**Source:** W3C Trace Context (Recommendation, 23 November 2021), sections 3.2 and 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TraceContext", "begin_trace", "parse_traceparent"]

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
MAX_TRACESTATE = 512
"""Bytes of ``tracestate`` that are passed on; a longer one is dropped whole, as section 3.3.1.5 allows."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where a request stands in a trace: ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str | None
    sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header to send with calls made on behalf of this request."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def parse_traceparent(value: bytes | None) -> tuple[str, str, bool] | None:
    """Trace id, parent id and the sampled flag; None if the header is absent or not exactly as specified.

    >>> parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7', True)
    """
    match = _TRACEPARENT.fullmatch(value) if value is not None else None
    if match is None:
        return None
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    trace, parent = trace_id.decode(), parent_id.decode()
    if trace == _NO_TRACE or parent == _NO_SPAN:
        return None
    return trace, parent, bool(int(flags, 16) & 1)


def begin_trace(traceparent: bytes | None, tracestate: bytes | None, random: Callable[[int], bytes]) -> TraceContext:
    """This request's place: continued from a valid ``traceparent``, else the root of a new trace."""
    # A random span id is all zeros once in 2**64; zeros are not allowed.
    span_id = random(8).hex() if (parsed := parse_traceparent(traceparent)) else ""
    if parsed is None:
        fresh = random(24).hex()
        return TraceContext(fresh[:32], fresh[32:], None, False)
    trace_id, parent_id, sampled = parsed
    state = tracestate.decode("ascii", "ignore") if tracestate and len(tracestate) <= MAX_TRACESTATE else ""
    return TraceContext(trace_id, span_id, parent_id, sampled, state if state.isprintable() else "")
