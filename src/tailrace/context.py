"""Which request is being answered, for whoever works for it: logs, statements, calls to others. Touches: one context
variable.

The front door sets it; rooms below know no more of a request than this.

**Source:** W3C Trace Context (``traceparent``, ``tracestate``).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

__all__ = ["CurrentRequest", "Trace", "current_request", "identifying_headers"]


class Trace(Protocol):
    """Where a request stands in its trace."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, the same in every service that the trace touches."""

    @property
    def traceparent(self) -> str:
        """What is sent with calls made for the request."""

    @property
    def state(self) -> str:
        """``tracestate``, empty if there is none."""


class CurrentRequest(Protocol):
    """What identifies a request."""

    @property
    def request_id(self) -> str:
        """At most 128 letters, digits and ``-_.:+/=@``; empty until it has one."""

    @property
    def trace(self) -> Trace:
        """Its place in its trace."""


current_request: ContextVar[CurrentRequest | None] = ContextVar("tailrace_request", default=None)
"""The request being answered; None outside of any."""


def identifying_headers() -> dict[str, str]:
    """What tells another service which request a call is made for, names in lower case; empty outside of any.

    Cost: where nothing has asked for the request's trace before, 24 random bytes.
    """
    request = current_request.get()
    if request is None or not request.request_id:
        return {}
    trace = request.trace
    found = {"x-request-id": request.request_id, "traceparent": trace.traceparent}
    if trace.state:
        found["tracestate"] = trace.state
    return found
