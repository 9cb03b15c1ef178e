"""What operators may ask of kept answers: their figures, and why a question would get which. Touches nothing itself.

Closed like ``/monitoring``: to who shows the admin token, or asks from this machine; to others it does not exist.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from tailrace.asgi.exchange import exchange_of
from tailrace.asgi.monitoring import is_operator
from tailrace.settings import HttpSettings
from tailrace_services.surroundings import failures
from tailrace_services.trading_desk.api.query import Asked, Corpus, Limit, Wanted
from tailrace_services.trading_desk.optimised.answers import OptimisedAnswerer

__all__ = ["build_operator_routes"]

NOT_KEPT = {"cache-control": "no-store"}


def build_operator_routes(answerer: OptimisedAnswerer, settings: HttpSettings) -> APIRouter:
    """``/query/statistics`` and ``/query/explain``."""

    async def operator(request: Request) -> None:
        if not is_operator(exchange_of(request.scope), settings):
            raise HTTPException(404, "Not Found")

    router = APIRouter(
        prefix="/query", tags=["operations"], dependencies=[Depends(operator)], responses=failures(401, 404)
    )

    @router.get("/statistics")
    async def statistics(response: Response) -> dict[str, Any]:
        """Questions since this process started: how they were answered, why close answers were not given, audits."""
        response.headers.update(NOT_KEPT)
        return dict(answerer.statistics())

    @router.get("/explain")
    async def explain(
        response: Response,
        q: Annotated[Asked, Query()],
        corpus: Annotated[Corpus | None, Query()] = None,
        limit: Annotated[Limit, Query()] = 5,
    ) -> dict[str, Any]:
        """How a question would be answered now, and why; nothing is computed, counted or changed."""
        response.headers.update(NOT_KEPT)
        return dataclasses.asdict(await answerer.explain(Wanted(q, await answerer.corpus(corpus), limit)))

    return router
