"""The addresses of tokens: what one has, and giving some away exactly once. Touches nothing itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from tailrace.fastapi import RequestedPage
from tailrace_services.research_hub.api.hub import Hub
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
from tailrace_services.research_hub.tokens.entries import PAGES
from tailrace_services.research_hub.tokens.idempotency import LONGEST_KEY, Asked, parse_key
from tailrace_services.research_hub.tokens.transfers import NewTransfer, TokenAccount, TransferView

__all__ = ["build_token_routes"]

Kind = Literal["grant", "reward", "transfer", "fee"]
"""As ``model.MOVEMENTS``; a test holds them together."""

KEY = (
    f"Names the transfer, in 1 to {LONGEST_KEY} characters. Sent again with the same body, it is answered as the first "
    "time, `Idempotency-Replayed: true`, and nothing moves again."
)


def build_token_routes(hub: Hub, around: Surroundings) -> APIRouter:
    """Both routes, answered by ``hub``."""
    router = APIRouter(prefix="/api/tokens", tags=["tokens"], dependencies=credentials())
    _add_account(router, hub, around)
    _add_transfer(router, hub, around)
    return router


def _add_account(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    caller, own = Depends(around.callers.user), around.own_page(PAGES)

    @router.get("", response_model=TokenAccount, responses=failures(*PAGED, *OWN))
    @partial(around.mark, "tokens")
    async def tokens(
        kind: Annotated[Kind | None, Query(alias="type", description="Only movements of this type.")] = None,
        page: RequestedPage = own,
        user_id: int = caller,
    ) -> Response:
        """What one has, and how it came and went, the newest first."""
        return listed(await hub.tokens(page, user_id, kind), page)


def _add_transfer(router: APIRouter, hub: Hub, around: Surroundings) -> None:
    caller = Depends(around.callers.user)
    conflict: dict[int | str, dict[str, str]] = {409: {"description": "There are not that many tokens to give."}}

    @router.post("/transfer", status_code=201, response_model=TransferView, responses=failures(*WRITES) | conflict)
    async def transfer(
        request: Request,
        new: NewTransfer,
        user_id: int = caller,
        idempotency_key: Annotated[
            str | None,
            Header(description=KEY),
        ] = None,
    ) -> Response:
        """Give tokens to somebody else."""
        del idempotency_key  # for the documentation; below it is known whether there are two
        key = parse_key(request.headers.getlist("idempotency-key"))
        asked = Asked.of(user_id, key, "transfer", new.checked(user_id))
        outcome = await hub.transfer(asked, new, around.now())
        headers = {"cache-control": "no-store"} | ({"idempotency-replayed": "true"} if outcome.replayed else {})
        return Response(outcome.answer(), outcome.status, headers=headers, media_type=JSON)
