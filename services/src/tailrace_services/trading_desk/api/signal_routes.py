"""The addresses of signals. Touches nothing itself."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from tailrace.fastapi import Listing, RequestedPage, limited
from tailrace_services.surroundings import JSON, OWN, PAGED, WRITES, failures, listed
from tailrace_services.trading_desk.api.around import BUSY, Around
from tailrace_services.trading_desk.api.desk import Desk
from tailrace_services.trading_desk.api.signals import (
    DAYS,
    SIGNALS,
    DayFilter,
    DayView,
    NewSignals,
    SignalFilter,
    SignalView,
    Stored,
    requested_days,
    requested_signals,
)

__all__ = ["add_signals"]


def add_signals(router: APIRouter, desk: Desk, around: Around) -> None:
    """Add them to ``router``, answered by ``desk``."""
    page_of_signals, page_of_days = around.shared_page(SIGNALS), around.shared_page(DAYS)
    reads, writes = failures(*PAGED, *OWN) | BUSY, failures(*WRITES) | BUSY

    @router.get("/signals", response_model=Listing[SignalView], responses=reads, tags=["signals"])
    @partial(around.mark, "signals")
    async def signals(
        wanted: Annotated[SignalFilter, Depends(requested_signals)], page: RequestedPage = page_of_signals
    ) -> Response:
        """Signals, the newest first."""
        return listed(await desk.signals(page, wanted), page)

    @router.get("/signals/summary", response_model=Listing[DayView], responses=reads, tags=["signals"])
    @partial(around.mark, "days")
    async def summary(
        wanted: Annotated[DayFilter, Depends(requested_days)], page: RequestedPage = page_of_days
    ) -> Response:
        """An asset's signals by UTC day, the last day first; days without any are left out."""
        return listed(await desk.days(page, wanted), page)

    @router.post("/signals", status_code=201, response_model=Stored, responses=writes, tags=["signals"])
    @limited("600/minute", burst=100, name="signals")
    async def take_in(new: NewSignals) -> Response:
        """Store up to 10,000 signals: all of them, or none."""
        stored = await desk.take_in(new, around.now())
        return Response(Stored(stored=stored).json_bytes(), 201, media_type=JSON)
