"""The slow implementation as a web application. Touches: the database, once requests come."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace.settings import OutboundSettings
from tailrace_services.empty_application import add_ids_and_problems
from tailrace_services.research_hub.api.application import new_application, serve
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.api.key_uses import KeyUses
from tailrace_services.research_hub.api.research import LEAST_SIMILARITY
from tailrace_services.research_hub.api.surroundings import Surroundings
from tailrace_services.research_hub.baseline.hub import BaselineHub
from tailrace_services.research_hub.baseline.research import BaselineResearcher

__all__ = ["create_baseline_app"]


def create_baseline_app(
    database_url: str,
    *,
    clock: Clock,
    cursors: Cursors | None = None,
    outbound: OutboundSettings | None = None,
    least_similarity: float = LEAST_SIMILARITY,
) -> FastAPI:
    """The service as it was, on any database that has the service's tables.

    Of Tailrace it has request ids and the shape of errors, so that both can be asked in the same way.

    Args:
        database_url: ``postgresql://...``.
        clock: the service's time.
        cursors: sign the pages of lists; by default with a secret of this process's own.
        outbound: what may be asked of others, and within which bounds.
        least_similarity: least cosine of a question and the post nearest to it, 0..1; below it nothing was found.
    """
    hub = BaselineHub(database_url, outbound)
    researcher = BaselineResearcher(database_url, least_similarity)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            async with uses.running():
                yield
        finally:
            await hub.aclose()
            await researcher.aclose()

    app = new_application("Research Hub, as it was", lifespan)
    add_ids_and_problems(app)
    uses = KeyUses(hub.note_uses, clock)
    callers = Callers(hub.accounts, uses, clock)
    around = Surroundings(callers, clock, cursors or Cursors([secrets.token_bytes(32)]))
    serve(app, hub, researcher, around)
    return app
