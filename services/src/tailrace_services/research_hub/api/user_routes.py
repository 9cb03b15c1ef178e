"""The addresses of users. Touches nothing itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import UserDetails, UserView, Words
from tailrace_services.research_hub.api.surroundings import (
    JSON,
    OWN,
    PAGED,
    Surroundings,
    credentials,
    failures,
    listed,
)

__all__ = ["add_users"]


def add_users(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    """Users' names are everybody's to read, their addresses only operators'."""
    asked = around.shared_page(pages.USERS)

    @router.get("/users", response_model=Listing[UserView], responses=failures(*PAGED), tags=["users"])
    @partial(around.mark, "users")
    async def users(
        page: RequestedPage = asked, username: Annotated[Words | None, Query(max_length=100)] = None
    ) -> Response:
        """Users, those who came last first."""
        return listed(await hub.users(page, username), page)

    @router.get(
        "/users/lookup",
        response_model=UserDetails,
        responses=failures(404, *OWN),
        dependencies=[*credentials(), Depends(around.callers.administrator)],
        tags=["users"],
    )
    async def lookup(email: Annotated[Words, Query(max_length=320)]) -> Response:
        """The user with an address, for administrators."""
        found = (await hub.find_user(email)).json_bytes()
        return Response(found, headers={"cache-control": "no-store"}, media_type=JSON)
