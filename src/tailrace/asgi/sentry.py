"""Errors that nobody expected, reported to Sentry. Touches: what the service's own ``sentry_sdk.init`` set up.

::

    sentry_sdk.init(dsn=...)
    tailrace = Tailrace(app, on_error=report_to_sentry)

**Source:** docs.sentry.io, Python, "Scopes" and "Set transaction name".
"""

from __future__ import annotations

from typing import Any

from tailrace.asgi.exchange import Exchange
from tailrace.extras import require

__all__ = ["report_to_sentry"]

_UNMATCHED = "unmatched"


def report_to_sentry(error: BaseException, exchange: Exchange) -> None:
    """Capture ``error`` under the name of its route, with the request id as a tag.

    Headers, query and body of the request are not added, and local variables, which hold them all the way down, are
    taken out. Sentry's own integrations for FastAPI and logging may be on as well: they see the same exception later,
    and drop it as a duplicate.

    Raises:
        MissingExtraError: the SDK is not installed.
    """
    sdk = require("sentry_sdk", "sentry")
    with sdk.new_scope() as scope:
        scope.set_transaction_name(f"{exchange.method} {exchange.route or _UNMATCHED}", source="route")
        scope.set_tag("request_id", exchange.request_id)
        scope.add_event_processor(_without_variables)
        scope.capture_exception(error)


def _without_variables(event: Any, _hint: Any) -> Any:
    for raised in event.get("exception", {}).get("values", ()):
        for frame in (raised.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event
