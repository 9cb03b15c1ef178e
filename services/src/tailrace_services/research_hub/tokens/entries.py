"""The ledger as double entries: each movement is one entry of whoever gave and one of whoever got. Pure: declarations.

Whoever gives has the amount with a minus, whoever gets with a plus, so a balance is the sum of a user's entries, and
all users' entries together are what was made less what was taken; where tokens are made or taken, nobody has the other
one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, func, select, union_all

from tailrace.db import Order, Pages
from tailrace.db.keyset import Term
from tailrace_services.research_hub.model import Movement

__all__ = ["BALANCE", "ENTRIES", "HISTORY", "HISTORY_OF_TYPE", "PAGES"]


def _side(giver: bool) -> Select[*tuple[Any, ...]]:
    own, other = Movement.from_user_id, Movement.to_user_id
    if not giver:
        own, other = other, own
    amount = -Movement.amount if giver else Movement.amount
    columns = (own.label("user_id"), other.label("other_user_id"), amount.label("amount"))
    # Without a condition: PostgreSQL merges two index scans in their order only where each side is a plain table.
    return select(Movement.id, Movement.type, Movement.created_at, *columns)


ENTRIES = union_all(_side(giver=True), _side(giver=False)).subquery("entries")
entries = ENTRIES.c

HISTORY: Select[*tuple[Any, ...]] = select(ENTRIES).where(entries.user_id == bindparam("user_id"))
"""A user's entries."""
HISTORY_OF_TYPE = HISTORY.where(entries.type == bindparam("type"))
"""Those of one type."""
BALANCE = select(func.coalesce(func.sum(entries.amount), 0)).where(entries.user_id == bindparam("user_id"))
"""What a user has, from the beginning."""


def _newest_first(column: Any) -> Term:
    """Like the table's, which the database knows and a subquery does not say, it is never NULL."""
    return Term(column, descending=True, nulls_first=True, nullable=False)


PAGES = Pages(
    {"-created_at": Order(_newest_first(entries.created_at), key=_newest_first(entries.id))},
    totals=("none", "capped", "exact"),
)
"""A user's entries, the newest first."""
