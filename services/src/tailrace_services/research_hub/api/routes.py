"""The service's addresses, built once for an implementation. Touches nothing itself.

Answers are sent as they are made: nothing is validated or serialised a second time on the way out.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tailrace_services.research_hub.api.card_routes import add_cards
from tailrace_services.research_hub.api.collection_routes import add_collection
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import Token
from tailrace_services.research_hub.api.session_routes import add_sessions
from tailrace_services.research_hub.api.surroundings import JSON, OWN, Surroundings, failures
from tailrace_services.research_hub.api.user_routes import add_users

__all__ = ["build_routes"]


def build_routes(hub: Hub, around: Surroundings) -> APIRouter:
    """All of the service's routes, answered by ``hub``."""
    router = APIRouter(prefix="/api")
    _add_token(router, around)
    add_cards(router, hub, around)
    add_collection(router, hub, around)
    add_users(router, hub, around)
    add_sessions(router, hub, around)
    return router


def _add_token(router: APIRouter, around: Surroundings) -> None:
    @router.post("/auth/token", response_model=Token, responses=failures(*OWN), tags=["account"])
    async def token(request: Request) -> Response:
        """Exchange the API key for a token that is good for a quarter of an hour."""
        access = await around.callers.exchange(request.scope["headers"])
        body = Token(access_token=access).json_bytes()
        return Response(body, headers={"cache-control": "no-store"}, media_type=JSON)
