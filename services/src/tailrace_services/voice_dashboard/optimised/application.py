"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.fastapi import Exchange, Finish, RoutePolicy, Tailrace, cached
from tailrace.settings import Settings
from tailrace_services.identity.accounts import Account
from tailrace_services.identity.authentication import Authenticator
from tailrace_services.voice_dashboard.api.application import authenticator_of, new_application, serve
from tailrace_services.voice_dashboard.api.errors import SHAPE
from tailrace_services.voice_dashboard.optimised.answers import LIFE
from tailrace_services.voice_dashboard.optimised.cache_info import renew_cache_info
from tailrace_services.voice_dashboard.optimised.dashboard import OptimisedDashboard
from tailrace_services.voice_dashboard.optimised.rollups import (
    account_tags,
    agent_tags,
    analytics_tags,
    configuration_tags,
    overview_tags,
)
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

__all__ = ["create_app", "with_defaults"]

OK_ONLY = frozenset({200})

RETRY_TIME = 0.5
"""Seconds for which the database is asked again: a data set has 1.5 in all, and the last known answer is at hand."""


def with_defaults(settings: Settings) -> Settings:
    """``settings`` with what this service wants where they do not say otherwise."""
    database = settings.database
    if "retry_time" not in database.model_fields_set:
        database = database.model_copy(update={"retry_time": RETRY_TIME})
    return settings.model_copy(update={"database": database})


def create_app(
    settings: Settings, *, provider: VoiceProviderSettings, clock: Clock, observer: Observer | None = None
) -> FastAPI:
    """The service on Tailrace.

    Args:
        settings: Tailrace's; ``database_url`` names the service's own database, with the declared objects.
        provider: how to talk to the voice provider.
        clock: the service's time. Tailrace itself always goes by the machine's.
        observer: receives Tailrace's events.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with dashboard.running():
            yield

    app = new_application("Voice Dashboard", lifespan)
    tailrace = Tailrace(app, with_defaults(settings), error_shape=SHAPE, observer=observer)
    dashboard = OptimisedDashboard(tailrace, provider, clock)
    authenticator = authenticator_of(dashboard, clock)
    policies = _policies(authenticator)

    def mark(name: str, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        return cached(policies[name])(endpoint) if name in policies else endpoint

    serve(app, dashboard, clock, authenticator=authenticator, mark=mark)
    return app


def _name(account: Account) -> str:
    return str(account.holder_id)


def _policies(authenticator: Authenticator) -> dict[str, RoutePolicy]:
    """How each read is kept: a user's own, until a write changes what it depends on, a minute at most."""

    def identity(exchange: Exchange) -> str | Awaitable[str | None]:
        return authenticator.identify(exchange.scope["headers"], _name)

    def policy(
        name: str, tags: Callable[[int], tuple[str, ...]], *, query: tuple[str, ...] = (), finish: Finish | None = None
    ) -> RoutePolicy:
        def depends(user: str | None, _path: Mapping[str, Any], _query: Mapping[str, str]) -> tuple[str, ...]:
            # The account as well: whoever is switched off is refused, whatever is stored.
            return () if user is None else tuple(dict.fromkeys((*account_tags(int(user)), *tags(int(user)))))

        return RoutePolicy(
            LIFE,
            identity=identity,
            depends_on=depends,
            query=query,
            statuses=OK_ONLY,
            finish=finish,
            name=name,
            warm=True,
        )

    return {
        "overview": policy("overview", overview_tags, finish=renew_cache_info),
        "analytics": policy("analytics", analytics_tags, query=("days",)),
        "agents": policy("agents", agent_tags),
        "agent": policy("agent", agent_tags),
        "configuration": policy("configuration", configuration_tags),
        "credits": policy("credits", account_tags),
    }
