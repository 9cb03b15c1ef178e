"""What is written: each change and its entry in the log by one statement. Touches: the database."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Delete,
    Executable,
    Insert,
    Select,
    Update,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database, GroupedWrite, given
from tailrace_services.trading_desk.api.audit import FIELDS, changes, item_not_found, noted, stored
from tailrace_services.trading_desk.api.schemas import ItemChange, ItemView, NewItem
from tailrace_services.trading_desk.model import AuditEntry, Base, Item
from tailrace_services.trading_desk.optimised.items import COLUMNS, ONE, item_view

__all__ = ["change_item", "create_item", "delete_item"]

items, audit = Base.metadata.tables[Item.__tablename__], Base.metadata.tables[AuditEntry.__tablename__]
_LOCKED = ONE.with_for_update()


def _noting(write: Insert | Update | Delete, action: str) -> Select[*tuple[Any, ...]]:
    """The rows that ``write`` leaves, or took away, while the log is told of each.

    Its parameters beside those of ``write``: ``trader_id``, ``changes`` and ``noted_at``.
    """
    written = write.returning(*COLUMNS).cte("written")
    entry = select(
        written.c.id,
        bindparam("trader_id", type_=audit.c.trader_id.type),
        literal(action),
        bindparam("changes", type_=audit.c.changes.type),
        bindparam("noted_at", type_=audit.c.created_at.type),
    )
    fields = ("item_id", "trader_id", "action", "changes", "created_at")
    return select(*written.c).add_cte(insert(audit).from_select(fields, entry).cte("entry"))


def _creating() -> GroupedWrite:
    """Items of any number of callers, and an entry for each.

    Ids are given in the order of an ordered SELECT, so by their order it is known whose each item is. SQLAlchemy tells
    the rows of its own bulk inserts apart by that, too.
    """
    fields = [items.c[name] for name in (*FIELDS, "created_at")]
    new = given(**{field.name: field.type for field in fields}, trader_id=audit.c.trader_id.type, changes=JSONB())
    rows = select(*(new.c[field.name] for field in fields), new.c.created_at).order_by(new.c.number)
    written = insert(items).from_select([*fields, items.c.updated_at], rows).returning(*COLUMNS).cte("written")
    number = (func.row_number().over(order_by=written.c.id) - 1).label("number")
    made = select(number, *written.c).cte("made")
    entries = (
        select(made.c.id, new.c.trader_id, literal("created"), new.c.changes, new.c.created_at)
        .join(new, new.c.number == made.c.number)
        .order_by(made.c.number)
    )
    noted_ = insert(audit).from_select(("item_id", "trader_id", "action", "changes", "created_at"), entries)
    return GroupedWrite(select(*made.c).add_cte(noted_.cte("entry")))


_CREATE = _creating()
_DELETE = _noting(delete(items).where(items.c.id == bindparam("item_id")), "deleted")


@lru_cache(maxsize=128)
def _change(fields: tuple[str, ...]) -> Executable:
    values: dict[str, Any] = {name: bindparam(name) for name in (*fields, "updated_at")}
    return _noting(update(items).where(items.c.id == bindparam("item_id")).values(values), "changed")


async def create_item(database: Database, trader_id: int, item: NewItem, now: datetime) -> ItemView:
    """Store an item, together with those that come meanwhile. Cost: 2 round trips for all of them."""
    fields = noted(item)
    (row,) = await database.write_grouped(
        _CREATE,
        {
            **stored(fields),
            "created_at": now.isoformat(),
            "trader_id": trader_id,
            "changes": {name: (None, value) for name, value in fields.items()},
        },
    )
    return item_view(row)


async def change_item(
    session: AsyncSession, trader_id: int, item_id: int, change: ItemChange, now: datetime
) -> ItemView:
    """Change an item, unless it is so already. Cost: 2 round trips.

    Raises:
        RequestError: 404, there is no such item.
    """
    item = await _locked(session, item_id)
    differing = changes(item, change)
    if not differing:
        return item
    values = stored({name: value for name, (_, value) in differing.items()})
    row = await session.execute(
        _change(tuple(values)),
        {
            **values,
            "item_id": item_id,
            "updated_at": now,
            "trader_id": trader_id,
            "changes": differing,
            "noted_at": now,
        },
    )
    return item_view(row.one())


async def delete_item(session: AsyncSession, trader_id: int, item_id: int, now: datetime) -> None:
    """Remove an item; the log has what it was. Cost: 2 round trips.

    Raises:
        RequestError: 404, there is no such item.
    """
    fields = noted(await _locked(session, item_id))
    was = {name: (value, None) for name, value in fields.items()}
    await session.execute(_DELETE, {"item_id": item_id, "trader_id": trader_id, "changes": was, "noted_at": now})


async def _locked(session: AsyncSession, item_id: int) -> ItemView:
    row = (await session.execute(_LOCKED, {"item_id": item_id})).one_or_none()
    if row is None:
        raise item_not_found(item_id)
    return item_view(row)
