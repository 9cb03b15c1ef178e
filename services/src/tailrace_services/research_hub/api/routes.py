"""The service's addresses, built once for an implementation. Touches nothing itself.

Answers are sent as they are made: nothing is validated or serialised a second time on the way out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response, Security

from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace.db import Pages
from tailrace.fastapi import Listing, Paginated, RequestedPage
from tailrace_services.identity.authentication import security_schemes
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.api.callers import Callers
from tailrace_services.research_hub.api.hub import Hub
from tailrace_services.research_hub.api.schemas import CardView, NewCard, Token
from tailrace_services.research_hub.keys import KEYS

__all__ = ["JSON", "Mark", "Surroundings", "build_routes", "failures", "unmarked"]

Endpoint = Callable[..., Any]
Mark = Callable[[str, Endpoint], Endpoint]
"""Given a read's name and its endpoint, gives the endpoint back, marked as the implementation wishes."""

DESCRIPTIONS = {
    400: "There is no such page, or the body is not JSON.",
    401: "No credential, or not a valid one.",
    403: "The account is switched off, or may not do this.",
    404: "There is no such thing.",
    413: "The body is too large.",
    422: "A value is missing, unknown or out of range.",
    500: "Something unexpected.",
    503: "Not now; `Retry-After` says when.",
}
PAGED = (400,)
OWN = (401, 403)
WRITES = (400, 401, 403, 413)


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route documents of its failures beside those that any may have."""
    return {status: {"description": DESCRIPTIONS[status]} for status in sorted({422, 500, 503, *statuses})}


def unmarked(_name: str, endpoint: Endpoint) -> Endpoint:
    """No read is special."""
    return endpoint


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What routes have around them.

    Attributes:
        callers: knows who asks.
        clock: the service's time.
        cursors: sign the pages; None: those of the application's ``Tailrace``.
        mark: called for each read's endpoint.
    """

    callers: Callers
    clock: Clock
    cursors: Cursors | None = None
    mark: Mark = unmarked

    def now(self) -> datetime:
        """The service's time."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def shared_page(self, asked: Pages) -> Any:
        """A page of what is everyone's, as a dependency."""
        return Depends(Paginated(asked, shared=True, cursors=self.cursors))

    def own_page(self, asked: Pages) -> Any:
        """A page of what is the caller's own, as a dependency."""
        return Depends(Paginated(asked, identity=self.callers.identity, cursors=self.cursors))


def listed(listing: Listing[Any], page: RequestedPage) -> Response:
    """A page as it is sent."""
    return Response(Listing[Any].__pydantic_serializer__.to_json(listing), headers=page.headers, media_type=JSON)


JSON = "application/json"


def build_routes(hub: Hub, around: Surroundings) -> APIRouter:
    """All of the service's routes, answered by ``hub``."""
    router = APIRouter(prefix="/api")
    _add_token(router, around)
    _add_cards(router, hub, around)
    return router


def credentials(around: Surroundings) -> list[Any]:
    """What routes for somebody in particular name as ways in."""
    return [Security(scheme) for scheme in security_schemes(KEYS, "/api/auth/token")]


def _add_token(router: APIRouter, around: Surroundings) -> None:
    @router.post("/auth/token", response_model=Token, responses=failures(*OWN), tags=["account"])
    async def token(request: Request) -> Response:
        """Exchange the API key for a token that is good for a quarter of an hour."""
        access = await around.callers.exchange(request.scope["headers"])
        body = Token(access_token=access).json_bytes()
        return Response(body, headers={"cache-control": "no-store"}, media_type=JSON)


def _add_cards(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    caller, ways_in = Depends(around.callers.user), credentials(around)
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
