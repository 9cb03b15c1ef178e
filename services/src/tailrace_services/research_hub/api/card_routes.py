"""The addresses of cards. Touches nothing itself."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Depends, Response

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import CardView, NewCard
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

__all__ = ["add_cards"]


def add_cards(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    """Everybody's cards, one's own, and new ones."""
    caller, ways_in = Depends(around.callers.user), credentials()
    shared, own = around.shared_page(pages.CARDS), around.own_page(pages.OWN_CARDS)

    @router.get("/cards", response_model=Listing[CardView], responses=failures(*PAGED), tags=["cards"])
    @partial(around.mark, "cards")
    async def cards(page: RequestedPage = shared) -> Response:
        """Published cards, the newest first."""
        return listed(await hub.cards(page), page)

    @router.get(
        "/cards/mine",
        response_model=Listing[CardView],
        responses=failures(*PAGED, *OWN),
        dependencies=ways_in,
        tags=["cards"],
    )
    @partial(around.mark, "own cards")
    async def own_cards(page: RequestedPage = own, user_id: int = caller) -> Response:
        """One's own cards, the newest first, drafts as well."""
        return listed(await hub.own_cards(page, user_id), page)

    @router.post(
        "/cards",
        status_code=201,
        response_model=CardView,
        responses=failures(*WRITES),
        dependencies=ways_in,
        tags=["cards"],
    )
    async def create_card(card: NewCard, user_id: int = caller) -> Response:
        """A new card of one's own."""
        made = await hub.create_card(user_id, card, around.now())
        return Response(made.json_bytes(), 201, media_type=JSON)
