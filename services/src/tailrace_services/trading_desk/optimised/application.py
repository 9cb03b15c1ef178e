"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.fastapi import Exchange, Tailrace, cached
from tailrace.settings import Settings
from tailrace_services.surroundings import Surroundings
from tailrace_services.trading_desk.answers.options import AnswerOptions
from tailrace_services.trading_desk.api.application import new_application, serve
from tailrace_services.trading_desk.api.callers import Callers
from tailrace_services.trading_desk.optimised.answer_operations import build_operator_routes
from tailrace_services.trading_desk.optimised.answers import OptimisedAnswerer
from tailrace_services.trading_desk.optimised.desk import OptimisedDesk
from tailrace_services.trading_desk.optimised.policies import policies

__all__ = ["create_app", "with_defaults"]

LIMITS = {"general": "6000/minute", "general_burst": 1_000, "mode": "leased"}
"""For each trader: a screen that asks for everything every second stays far below."""


def with_defaults(settings: Settings) -> Settings:
    """``settings`` with what this service wants where they do not say otherwise."""
    limits = settings.rate_limit
    wanted = {name: value for name, value in LIMITS.items() if name not in limits.model_fields_set}
    if "general" not in wanted:
        wanted.pop("general_burst", None)
    return settings.model_copy(update={"rate_limit": limits.model_copy(update=wanted)})


def create_app(
    settings: Settings, *, clock: Clock, observer: Observer | None = None, answers: AnswerOptions | None = None
) -> FastAPI:
    """The service on Tailrace.

    Args:
        settings: Tailrace's; ``database_url`` names the service's own database, with the declared objects.
        clock: the service's time. Tailrace itself always goes by the machine's.
        observer: receives Tailrace's events.
        answers: how questions about documents are answered.
    """

    def caller(exchange: Exchange) -> str | Awaitable[str | None]:
        return callers.identity(exchange)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with answerer.running():
            yield

    app = new_application("Trading Desk", lifespan)
    tailrace = Tailrace(app, with_defaults(settings), observer=observer, caller=caller)
    desk, answerer = OptimisedDesk(tailrace, clock), OptimisedAnswerer(tailrace, answers or AnswerOptions())
    tailrace.status.add("semantic", answerer.semantic_status)
    tailrace.status.add("documents", answerer.documents_status)
    callers = Callers(desk.accounts, clock)
    kept = policies(callers)

    def mark(name: str, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        return cached(kept[name])(endpoint)

    app.include_router(build_operator_routes(answerer, tailrace.settings.http))
    serve(app, desk, answerer, Surroundings(callers, clock, mark=mark))
    return app
