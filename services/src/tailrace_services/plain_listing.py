"""Pages as they were: rows are counted by loading them, and what belongs to each is asked for one by one.

Touches: the database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import PageRequest, Total
from tailrace.db.keyset import Statement
from tailrace.fastapi import Listing, RequestedPage

__all__ = ["fetch_listing"]

T = TypeVar("T")


async def fetch_listing(
    session: AsyncSession, page: RequestedPage, statement: Statement, describe: Callable[[Any], Awaitable[T]]
) -> Listing[Any]:
    """The page of the rows that ``statement`` gives, each turned into what is shown by ``describe``."""
    asked = page.request
    page.request = replace(asked, total="none")
    listing = await page.fetch(session, statement)
    items = [await describe(row) for row in listing.items]
    total = await _total(session, asked, statement)
    return listing.model_copy(update={"items": items, "total": total.rows, "total_is": total.meaning})


async def _total(session: AsyncSession, asked: PageRequest, statement: Statement) -> Total:
    if asked.total == "none":
        return Total(None, "unknown")
    rows = len((await session.execute(statement)).all())
    if asked.total == "capped" and rows > asked.cap:
        return Total(asked.cap, "at_least")
    return Total(rows, "exact")
