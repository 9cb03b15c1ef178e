"""The slow implementation as a web application. Touches: the database, once requests come."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace_services.empty_application import add_ids_and_problems
from tailrace_services.surroundings import Surroundings
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.api.application import new_application, serve
from tailrace_services.trading_desk.api.callers import Callers
from tailrace_services.trading_desk.baseline.answers import BaselineAnswerer
from tailrace_services.trading_desk.baseline.desk import BaselineDesk

__all__ = ["create_baseline_app"]


def create_baseline_app(
    database_url: str, *, clock: Clock, cursors: Cursors | None = None, answers: AnswerOptions | None = None
) -> FastAPI:
    """The service as it was, on any database that has the service's tables.

    Of Tailrace it has request ids and the shape of errors, so that both can be asked in the same way.

    Args:
        database_url: ``postgresql://...``.
        clock: the service's time.
        cursors: sign the pages of lists; by default with a secret of this process's own.
        answers: how questions about documents are answered.
    """
    desk, answerer = BaselineDesk(database_url), BaselineAnswerer(database_url, answers or AnswerOptions())

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            async with answerer.running():
                yield
        finally:
            await desk.aclose()

    app = new_application("Trading Desk, as it was", lifespan)
    add_ids_and_problems(app)
    callers = Callers(desk.accounts, clock)
    serve(app, desk, answerer, Surroundings(callers, clock, cursors or Cursors([secrets.token_bytes(32)])))
    return app
