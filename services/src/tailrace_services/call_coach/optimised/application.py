"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.fastapi import Tailrace
from tailrace.settings import Settings
from tailrace_services.call_coach.analyst.chat_completions import ChatSettings
from tailrace_services.call_coach.api.application import VERSIONS, new_application, serve
from tailrace_services.call_coach.api.errors import SHAPE
from tailrace_services.call_coach.optimised.coach import OptimisedCoach

__all__ = ["create_app", "with_defaults"]

GENERAL_LIMIT = {"general": "100/minute", "general_burst": 150}
RETRIES = {"retries": 12}
"""Most of the time that the database is in trouble it is for a moment: then nobody need hear of it."""


def with_defaults(settings: Settings) -> Settings:
    """``settings`` with what this service wants where they do not say otherwise."""
    return settings.model_copy(
        update={
            name: room.model_copy(
                update={key: value for key, value in wanted.items() if key not in room.model_fields_set}
            )
            for name, room, wanted in (
                ("rate_limit", settings.rate_limit, GENERAL_LIMIT),
                ("database", settings.database, RETRIES),
            )
        }
    )


def create_app(
    settings: Settings, *, chat: ChatSettings | None = None, clock: Clock, observer: Observer | None = None
) -> FastAPI:
    """The service on Tailrace.

    Args:
        settings: Tailrace's; ``database_url`` names the service's own database, with the declared objects.
        chat: where a language model is that analyses, if one is to.
        clock: the service's time. Tailrace itself always goes by the machine's.
        observer: receives Tailrace's events.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with coach.running():
            yield

    app = new_application("Call Coach", lifespan)
    tailrace = Tailrace(app, with_defaults(settings), error_shape=SHAPE, versions=VERSIONS, observer=observer)
    coach = OptimisedCoach(tailrace, chat=chat, clock=clock)
    serve(app, coach)
    return app
