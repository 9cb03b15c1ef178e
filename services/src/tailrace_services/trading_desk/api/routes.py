"""The service's addresses, built once for an implementation. Touches nothing itself.

Answers are sent as they are made: nothing is validated or serialised a second time on the way out.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response, Security

from tailrace.fastapi import Listing, RequestedPage, limited
from tailrace_services.bodies import LARGEST_ID
from tailrace_services.identity.authentication import security_schemes
from tailrace_services.surroundings import JSON, OWN, PAGED, WRITES, failures, listed
from tailrace_services.trading_desk.api.around import BUSY, Around
from tailrace_services.trading_desk.api.desk import Desk
from tailrace_services.trading_desk.api.filters import AUDIT, ITEMS, ItemFilter, requested_filter
from tailrace_services.trading_desk.api.schemas import AuditView, ItemChange, ItemView, NewItem, Token
from tailrace_services.trading_desk.api.signal_routes import add_signals
from tailrace_services.trading_desk.keys import KEYS

__all__ = ["build_routes"]

ItemId = Annotated[int, Path(ge=1, le=LARGEST_ID)]
NO_STORE = {"cache-control": "no-store"}


def build_routes(desk: Desk, around: Around) -> APIRouter:
    """All of the service's routes, answered by ``desk``."""
    ways_in = [Security(scheme) for scheme in security_schemes(KEYS, "/api/auth/token")]
    router = APIRouter(prefix="/api", dependencies=[*ways_in, Depends(around.callers.trader)])
    _add_reads(router, desk, around)
    _add_writes(router, desk, around)
    _add_audit(router, desk, around)
    add_signals(router, desk, around)
    _add_token(router, around)
    return router


def _add_reads(router: APIRouter, desk: Desk, around: Around) -> None:
    asked = around.shared_page(ITEMS)

    @router.get("/items", response_model=Listing[ItemView], responses=failures(*PAGED, *OWN) | BUSY, tags=["items"])
    @partial(around.mark, "items")
    async def items(wanted: Annotated[ItemFilter, Depends(requested_filter)], page: RequestedPage = asked) -> Response:
        """The desk's items, the newest first."""
        return listed(await desk.items(page, wanted), page)

    @router.get("/items/{item_id}", response_model=ItemView, responses=failures(404, *OWN) | BUSY, tags=["items"])
    @partial(around.mark, "item")
    async def item(item_id: ItemId) -> Response:
        """One item."""
        return Response((await desk.item(item_id)).json_bytes(), media_type=JSON)


def _add_writes(router: APIRouter, desk: Desk, around: Around) -> None:
    trader = Depends(around.callers.trader)
    write = limited("1200/minute", burst=200, name="writes")

    @router.post("/items", status_code=201, response_model=ItemView, responses=failures(*WRITES) | BUSY, tags=["items"])
    @write
    async def create(new: NewItem, trader_id: int = trader) -> Response:
        """A new item."""
        made = await desk.create(trader_id, new, around.now())
        return Response(made.json_bytes(), 201, media_type=JSON)

    @router.patch("/items/{item_id}", response_model=ItemView, responses=failures(404, *WRITES) | BUSY, tags=["items"])
    @write
    async def change(item_id: ItemId, fields: ItemChange, trader_id: int = trader) -> Response:
        """Change some of an item's fields; nothing is noted if they are what they were."""
        changed = await desk.change(trader_id, item_id, fields, around.now())
        return Response(changed.json_bytes(), media_type=JSON)

    @router.delete("/items/{item_id}", status_code=204, responses=failures(404, *OWN) | BUSY, tags=["items"])
    @write
    async def delete(item_id: ItemId, trader_id: int = trader) -> Response:
        """Remove an item; the log keeps what it was."""
        await desk.delete(trader_id, item_id, around.now())
        return Response(status_code=204)


def _add_audit(router: APIRouter, desk: Desk, around: Around) -> None:
    asked = around.shared_page(AUDIT)

    @router.get(
        "/audit-log", response_model=Listing[AuditView], responses=failures(*PAGED, *OWN) | BUSY, tags=["audit log"]
    )
    async def audit_log(
        item_id: Annotated[
            int | None, Query(ge=1, le=LARGEST_ID, description="Only of this item, also after it was removed.")
        ] = None,
        page: RequestedPage = asked,
    ) -> Response:
        """Who created, changed and deleted what, the last first."""
        response = listed(await desk.audit(page, item_id), page)
        response.headers.update(NO_STORE)
        return response


def _add_token(router: APIRouter, around: Around) -> None:
    @router.post("/auth/token", response_model=Token, responses=failures(*OWN) | BUSY, tags=["account"])
    async def token(request: Request) -> Response:
        """Exchange the API key for a token that is good for a quarter of an hour."""
        access = await around.callers.exchange(request.scope["headers"])
        return Response(Token(access_token=access).json_bytes(), headers=NO_STORE, media_type=JSON)
