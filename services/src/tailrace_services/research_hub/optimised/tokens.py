"""Tokens with balances that are kept: one row says what somebody has, and refuses to go below zero.

Touches: the database.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace.db.errors import translated
from tailrace.errors import ConstraintError
from tailrace.fastapi import RequestedPage
from tailrace_services.research_hub.optimised.listing import Pager, Reading
from tailrace_services.research_hub.optimised.token_balances import BALANCES, NOT_BELOW_ZERO
from tailrace_services.research_hub.tokens import transfers
from tailrace_services.research_hub.tokens.entries import HISTORY, HISTORY_OF_TYPE
from tailrace_services.research_hub.tokens.idempotency import Asked, Outcome, once

__all__ = ["account", "account_at_once", "transfer"]

TO_NOBODY = "token_ledger_to_user_id_fkey"


async def account(
    session: AsyncSession, pager: Pager, page: RequestedPage, user_id: int, kind: str | None
) -> transfers.TokenAccount:
    """The balance, and a page of the entries, as of one moment. Cost: 3 round trips."""
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    parameters: dict[str, Any] = {"user_id": user_id} | ({} if kind is None else {"type": kind})
    listing = await pager.fetch_by(session, page, ALL if kind is None else OF_TYPE, parameters)
    return transfers.TokenAccount.model_construct(**dict(listing), balance=await _balance(session, user_id))


async def account_at_once(
    database: Database, pager: Pager, page: RequestedPage, user_id: int, kind: str | None
) -> transfers.TokenAccount | None:
    """The same by one statement, of a page without a total; None if the page is empty, which says no balance.

    Cost: 1 round trip.
    """
    balances: list[int] = []

    def described(row: Row[Any]) -> transfers.EntryView:
        balances.append(row.balance)
        return _described(row)

    reading = ALL_WITH_BALANCE if kind is None else OF_TYPE_WITH_BALANCE
    parameters: dict[str, Any] = {"user_id": user_id} | ({} if kind is None else {"type": kind})
    listing = await page.fetch(
        database, reading.statement, described, prepared=pager.prepared(page, reading), parameters=parameters
    )
    return transfers.TokenAccount.model_construct(**dict(listing), balance=balances[0]) if balances else None


async def transfer(session: AsyncSession, asked: Asked, new: transfers.NewTransfer, now: datetime) -> Outcome:
    """Move tokens, unless that was done before or the database finds that there are not enough.

    Cost: 6 round trips.
    """

    async def move() -> Outcome:
        try:
            with translated():
                async with session.begin_nested():  # what is refused here must leave the claim of the key in place
                    made = transfers.movement(asked.user_id, new, now)
                    session.add(made)
                    await session.flush()
        except ConstraintError as error:
            if error.constraint == TO_NOBODY:
                return transfers.no_such_user(new.to_user_id)
            if error.constraint == NOT_BELOW_ZERO:
                return transfers.INSUFFICIENT
            raise
        return transfers.transferred(made.id, new, now, await _balance(session, asked.user_id))

    return await once(session, asked, now, move)


async def _balance(session: AsyncSession, user_id: int) -> int:
    found = await session.scalar(select(BALANCES.c.balance).where(BALANCES.c.user_id == user_id))
    return int(found or 0)  # without a row nobody has given or got anything


def _described(row: Row[Any]) -> transfers.EntryView:
    return transfers.EntryView.model_construct(
        id=row.id, type=row.type, amount=row.amount, other_user_id=row.other_user_id, created_at=row.created_at
    )


ALL, OF_TYPE = [Reading(entries, _described, entries) for entries in (HISTORY, HISTORY_OF_TYPE)]

OWN_BALANCE = select(BALANCES.c.balance).where(BALANCES.c.user_id == bindparam("user_id", type_=BigInteger()))
BALANCE = func.coalesce(OWN_BALANCE.scalar_subquery(), 0).label("balance")
ALL_WITH_BALANCE, OF_TYPE_WITH_BALANCE = [
    Reading(entries.add_columns(BALANCE), _described, entries) for entries in (HISTORY, HISTORY_OF_TYPE)
]
