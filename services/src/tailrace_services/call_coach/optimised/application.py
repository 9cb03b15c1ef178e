"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.fastapi import Exchange, Tailrace
from tailrace.settings import Settings
from tailrace_services.call_coach.api.application import VERSIONS, new_application, serve
from tailrace_services.call_coach.api.callers import FIND_CALLER, Callers
from tailrace_services.call_coach.api.errors import SHAPE
from tailrace_services.call_coach.optimised.coach import OptimisedCoach
from tailrace_services.call_coach.optimised.watches import caller_tags
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.identity.accounts import CachedAccounts

__all__ = ["create_app", "with_defaults"]

RETRY_TIME = 10.0
"""Seconds for which the database is asked again. Nothing else can answer, so nobody need hear of a moment's trouble."""
GZIP_LEVEL = 6
"""What its clients were promised."""
CODINGS = ("br", "zstd", "gzip")
BROTLI_QUALITY = 5
"""Answers are small and each is made for one client; of browsers' codings only this one makes an analysis of a call
60 % smaller, for a tenth of a millisecond."""


def with_defaults(settings: Settings) -> Settings:
    """``settings`` with what this service wants where they do not say otherwise."""
    limits, database, compression = settings.rate_limit, settings.database, settings.compression
    if "general" not in limits.model_fields_set:
        limits = limits.model_copy(update={"general": "100/minute", "general_burst": 150})
    if "retry_time" not in database.model_fields_set:
        database = database.model_copy(update={"retry_time": RETRY_TIME})
    chosen = {"gzip_level": GZIP_LEVEL, "brotli_quality": BROTLI_QUALITY, "encodings": CODINGS}
    unsaid = {name: value for name, value in chosen.items() if name not in compression.model_fields_set}
    compression = compression.model_copy(update=unsaid)
    return settings.model_copy(update={"rate_limit": limits, "database": database, "compression": compression})


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

    def bucket(exchange: Exchange) -> str | Awaitable[str | None] | None:
        return callers.bucket(exchange)

    app = new_application("Call Coach", lifespan)
    tailrace = Tailrace(
        app,
        with_defaults(settings),
        error_shape=SHAPE,
        versions=VERSIONS,
        observer=observer,
        caller=bucket,
    )
    callers = Callers(CachedAccounts(tailrace, "call-coach", FIND_CALLER, caller_tags), clock)
    coach = OptimisedCoach(tailrace, chat=chat, clock=clock)
    serve(app, coach, callers)
    return app
