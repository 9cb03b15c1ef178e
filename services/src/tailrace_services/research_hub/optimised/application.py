"""The fast implementation as a web application. Touches: nothing until it is started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.events import Observer
from tailrace.fastapi import Tailrace, cached
from tailrace.settings import Settings
from tailrace_services.research_hub.api.application import new_application, serve
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.api.key_uses import KeyUses
from tailrace_services.research_hub.api.research import LEAST_SIMILARITY
from tailrace_services.research_hub.api.surroundings import Surroundings
from tailrace_services.research_hub.optimised.first_vectors import enqueue_embedding
from tailrace_services.research_hub.optimised.hub import OptimisedHub
from tailrace_services.research_hub.optimised.policies import ENTRIES, policies
from tailrace_services.research_hub.optimised.research import OptimisedResearcher

__all__ = ["create_app", "with_defaults"]

POOL = {"pool_size": 20, "max_overflow": 30, "pool_recycle": 3600.0, "connect_timeout": 10.0}
"""Connections; seconds. Whoever waits longer than ``pool_timeout`` for one is told so."""


def with_defaults(settings: Settings) -> Settings:
    """``settings`` with what this service wants where they do not say otherwise."""
    cache, database = settings.cache, settings.database
    if "memory_entries" not in cache.model_fields_set:
        cache = cache.model_copy(update={"memory_entries": ENTRIES})
    wanted = {name: value for name, value in POOL.items() if name not in database.model_fields_set}
    return settings.model_copy(update={"cache": cache, "database": database.model_copy(update=wanted)})


def create_app(
    settings: Settings,
    *,
    clock: Clock,
    observer: Observer | None = None,
    embed_posts: bool = False,
    least_similarity: float = LEAST_SIMILARITY,
) -> FastAPI:
    """The service on Tailrace.

    Args:
        settings: Tailrace's; ``database_url`` names the service's own database, with the declared objects.
        clock: the service's time. Tailrace itself always goes by the machine's.
        observer: receives Tailrace's events.
        embed_posts: whether a worker is asked, when it starts, to give posts their vectors.
        least_similarity: least cosine of a question and the post nearest to it, 0..1; below it nothing was found.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with researcher.running():
            if embed_posts and tailrace.database is not None:
                await enqueue_embedding(tailrace.database)
            try:
                async with uses.running():
                    yield
            finally:
                await hub.aclose()

    app = new_application("Research Hub", lifespan)
    tailrace = Tailrace(app, with_defaults(settings), observer=observer)
    hub, researcher = OptimisedHub(tailrace), OptimisedResearcher(tailrace, least_similarity)
    uses = KeyUses(hub.note_uses, clock)
    callers = Callers(hub.accounts, uses, clock)
    kept = policies(callers)

    def mark(name: str, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        return cached(kept[name])(endpoint) if name in kept else endpoint

    around = Surroundings(callers, clock, mark=mark)
    serve(app, hub, researcher, around)
    return app
