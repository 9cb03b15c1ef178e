"""The request's id in every line of a log, whoever writes it. Touches: nothing; ``logging`` asks it."""

from __future__ import annotations

import logging

from tailrace.context import current_request

__all__ = ["RequestIdFilter"]


class RequestIdFilter(logging.Filter):
    """Gives each record ``request_id`` and ``trace_id`` of the request being answered, ``-`` where there is none.

    It drops nothing. Set on a handler it reaches the records of all loggers, those of other packages too:

        {"filters": {"request": {"()": "tailrace.logs.RequestIdFilter"}},
         "formatters": {"plain": {"format": "%(levelname)s %(request_id)s %(message)s"}},
         "handlers": {"all": {"class": "logging.StreamHandler", "filters": ["request"], "formatter": "plain"}}, ...}
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """True, always."""
        request = current_request.get()
        known = request is not None and request.request_id
        record.request_id = request.request_id if request is not None and known else "-"
        record.trace_id = request.trace.trace_id if request is not None and known else "-"
        return True
