"""The slow implementation as a web application. Touches: the database, once requests come."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace_services.call_coach.api.application import new_application, serve
from tailrace_services.call_coach.api.callers import Callers
from tailrace_services.call_coach.api.errors import SHAPE
from tailrace_services.call_coach.baseline.coach import BaselineCoach
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.empty_application import add_ids_and_problems

__all__ = ["create_baseline_app"]


def create_baseline_app(
    database_url: str, *, chat: ChatSettings | None = None, clock: Clock, cursors: Cursors | None = None
) -> FastAPI:
    """The service as it was, on any database that has the service's tables.

    Of Tailrace it has request ids and the shape of errors, so that both can be asked in the same way.

    Args:
        database_url: ``postgresql://...``.
        chat: where a language model is that analyses, if one is to.
        clock: the service's time.
        cursors: sign the pages of lists; by default with a secret of this process's own.
    """
    cursors = cursors or Cursors([secrets.token_bytes(32)])
    coach = BaselineCoach(database_url, chat=chat, clock=clock, cursors=cursors)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with coach.running():
            yield

    app = new_application("Call Coach, as it was", lifespan)
    add_ids_and_problems(app, SHAPE)
    serve(app, coach, Callers(coach.accounts, clock))
    return app
