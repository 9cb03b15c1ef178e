"""A server that says nothing is given up. Touches: drivers' connections.

The time limit of a statement is the server's own. One that is frozen, or behind a line that swallows everything, ends
nothing and closes nothing, and what waits for it would wait for as long as it is silent. So the client has a limit too,
later than the server's: who meets it is told that the database did not answer, and its connection is closed, since
nobody knows what it still does. Other connections of the pool are then tried no more either; new ones are made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from tailrace.db.abortable_engine import abort
from tailrace.settings import DatabaseSettings

__all__ = ["MARGIN", "SilenceError", "abort_after", "answer_limit", "give_up_silent", "silent"]

MARGIN = 5.0
"""Seconds after a server's own limit in which it is to say that it met it."""


class SilenceError(TimeoutError):
    """The server has not answered a statement."""


def answer_limit(settings: DatabaseSettings) -> float:
    """Seconds after which a statement that was not answered is given up."""
    return settings.statement_timeout + MARGIN if settings.answer_timeout is None else settings.answer_timeout


def give_up_silent(engine: Engine) -> None:
    """Have a connection of ``engine`` closed on which a driver's time limit was met, and take others for lost too."""

    def failed(context: Any) -> None:
        if isinstance(context.original_exception, TimeoutError):
            context.is_disconnect = True

    event.listen(engine, "handle_error", failed)


@contextmanager
def abort_after(driver: Any, seconds: float) -> Iterator[None]:
    """Abort a driver's connection if the block takes so long; what waits on it fails then."""
    timer = asyncio.get_running_loop().call_later(seconds, abort, driver)
    try:
        yield
    finally:
        timer.cancel()


def silent(error: BaseException | None) -> bool:
    """Whether ``error`` says that nobody answered within a time limit, so that another try would take as long."""
    if isinstance(error, DBAPIError):  # psycopg's, which is no TimeoutError, for a connection
        return type(error.orig).__name__ == "ConnectionTimeout"
    return isinstance(error, TimeoutError)
