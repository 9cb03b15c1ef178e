"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.errors import TailraceError
from tailrace.events import Observer
from tailrace.fastapi import Exchange, RoutePolicy, Tailrace, cached
from tailrace.settings import Settings
from tailrace_services.voice_dashboard.api.application import new_application, serve
from tailrace_services.voice_dashboard.api.authentication import Authenticator
from tailrace_services.voice_dashboard.api.errors import SHAPE
from tailrace_services.voice_dashboard.optimised.answers import LIFE
from tailrace_services.voice_dashboard.optimised.dashboard import OptimisedDashboard
from tailrace_services.voice_dashboard.optimised.rollups import account_tags, agent_tags, analytics_tags
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

__all__ = ["create_app"]

OK_ONLY = frozenset({200})


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
    tailrace = Tailrace(app, settings, error_shape=SHAPE, observer=observer)
    dashboard = OptimisedDashboard(tailrace, provider, clock)
    authenticator = Authenticator(dashboard, clock)
    policies = _policies(authenticator)

    def mark(name: str, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        return cached(policies[name])(endpoint) if name in policies else endpoint

    serve(app, dashboard, clock, authenticator=authenticator, mark=mark)
    return app


def _policies(authenticator: Authenticator) -> dict[str, RoutePolicy]:
    """How each cached read is kept: a user's own, until a write changes what it depends on, a minute at most."""

    async def identity(exchange: Exchange) -> str | None:
        try:
            return str((await authenticator.account(exchange.scope["headers"])).user_id)
        except TailraceError:
            return None  # not answered from the cache; the endpoint says what is wrong

    def depends(tags: Callable[[int], tuple[str, ...]]) -> Callable[..., tuple[str, ...]]:
        def of(user: str | None, _path: Mapping[str, Any], _query: Mapping[str, str]) -> tuple[str, ...]:
            # The account as well: whoever is switched off is refused, whatever is stored.
            return () if user is None else (*account_tags(int(user)), *tags(int(user)))

        return of

    def policy(name: str, tags: Callable[[int], tuple[str, ...]], query: tuple[str, ...], warm: bool) -> RoutePolicy:
        return RoutePolicy(
            LIFE,
            identity=identity,
            depends_on=depends(tags),
            query=query,
            statuses=OK_ONLY,
            name=name,
            warm=warm,
        )

    return {
        "analytics": policy("analytics", analytics_tags, ("days",), True),
        "agents": policy("agents", agent_tags, (), False),
        "agent": policy("agent", agent_tags, (), False),
    }
