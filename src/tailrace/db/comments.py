"""Which request a statement is run for, said in the statement. Pure, but for the request being answered.

**Source:** sqlcommenter's specification (now OpenTelemetry's): keys in order, values percent-encoded and quoted, so
that nothing in them can end the comment.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tailrace.context import identifying_headers

__all__ = ["comment", "comment_on_request"]

KEYS = {"request_id": "x-request-id", "traceparent": "traceparent", "tracestate": "tracestate"}
"""Key in the comment -> the header field that has its value."""


def comment() -> str:
    """What is added to a statement run now; nothing outside of any request."""
    known = identifying_headers()
    pairs = [f"{key}='{quote(known[header], safe='')}'" for key, header in KEYS.items() if header in known]
    return f" /*{','.join(pairs)}*/" if pairs else ""


def comment_on_request(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, _many: bool
) -> tuple[str, Any]:
    """SQLAlchemy's ``before_cursor_execute``: the statement with its comment, and its parameters."""
    added = comment()
    if context.dialect.paramstyle in ("format", "pyformat"):
        added = added.replace("%", "%%")  # a percent sign would be a parameter's
    return statement + added, parameters
