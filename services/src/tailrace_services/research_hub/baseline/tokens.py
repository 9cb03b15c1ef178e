"""Tokens as they were: what somebody has is added up from the ledger's beginning, every time. Touches: the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.fastapi import RequestedPage
from tailrace_services.plain_listing import fetch_listing
from tailrace_services.research_hub.model import User
from tailrace_services.research_hub.tokens import transfers
from tailrace_services.research_hub.tokens.entries import BALANCE, ENTRIES
from tailrace_services.research_hub.tokens.idempotency import Asked, Outcome, once

__all__ = ["account", "transfer"]


async def account(session: AsyncSession, page: RequestedPage, user_id: int, kind: str | None) -> transfers.TokenAccount:
    """The balance, and a page of the entries."""
    own = select(ENTRIES).where(ENTRIES.c.user_id == user_id)
    if kind is not None:
        own = own.where(ENTRIES.c.type == kind)
    listing = await fetch_listing(session, page, own, _described)
    return transfers.TokenAccount(**dict(listing), balance=await _balance(session, user_id))


async def transfer(session: AsyncSession, asked: Asked, new: transfers.NewTransfer, now: datetime) -> Outcome:
    """Move tokens, unless that was done before or there are not enough."""

    async def move() -> Outcome:
        if await session.get(User, new.to_user_id) is None:
            return transfers.no_such_user(new.to_user_id)
        # One transfer of a giver after the other; not so strong a lock that it would stand in the way of foreign keys.
        await session.execute(select(User.id).where(User.id == asked.user_id).with_for_update(key_share=True))
        balance = await _balance(session, asked.user_id)
        if balance < new.amount:
            return transfers.INSUFFICIENT
        made = transfers.movement(asked.user_id, new, now)
        session.add(made)
        await session.flush()
        return transfers.transferred(made.id, new, now, balance - new.amount)

    return await once(session, asked, now, move)


async def _balance(session: AsyncSession, user_id: int) -> int:
    return int((await session.execute(BALANCE, {"user_id": user_id})).scalar_one())


async def _described(row: Any) -> transfers.EntryView:
    return transfers.EntryView.model_validate(row, from_attributes=True)
