"""The addresses of research sessions. Touches nothing itself."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import NewSession, SessionStatus, SessionView
from tailrace_services.research_hub.api.surroundings import (
    JSON,
    OWN,
    PAGED,
    WRITES,
    Surroundings,
    credentials,
    failures,
    listed,
)

__all__ = ["add_sessions"]


def add_sessions(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    """Users ask; operators see what waits, runs and has failed."""
    asked, caller, ways_in = around.shared_page(pages.SESSIONS), Depends(around.callers.user), credentials()

    @router.get(
        "/research-sessions",
        response_model=Listing[SessionView],
        responses=failures(*PAGED, *OWN),
        dependencies=[*ways_in, Depends(around.callers.administrator)],
        tags=["research"],
    )
    async def sessions(status: SessionStatus, page: RequestedPage = asked) -> Response:
        """Everybody's sessions with a status, the newest first, for administrators."""
        response = listed(await hub.sessions(page, status), page)
        response.headers["cache-control"] = "no-store"
        return response

    @router.post(
        "/research-sessions",
        status_code=201,
        response_model=SessionView,
        responses=failures(*WRITES),
        dependencies=ways_in,
        tags=["research"],
    )
    async def create_session(session: NewSession, user_id: int = caller) -> Response:
        """Ask for something to be researched."""
        made = await hub.create_session(user_id, session, around.now())
        return Response(made.json_bytes(), 201, media_type=JSON)
