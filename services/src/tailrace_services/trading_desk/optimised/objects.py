"""What the optimised service keeps in its database beyond the original's tables. Pure: declarations.

Five indexes serve every way to ask for items, since pages of several values of a column are merged from a range of
each (:mod:`...optimised.items`).
"""

from __future__ import annotations

from tailrace.cache import tag
from tailrace.schema import Declaration, Index, Watch
from tailrace_services.trading_desk.api.filters import WORDS
from tailrace_services.trading_desk.model import AuditEntry, Item, Trader

__all__ = ["INDEXES", "WATCHES", "item_tags", "list_tags", "objects", "trader_tags"]

items, audit = Item.__table__.c, AuditEntry.__table__.c
_NEWEST = (items.created_at.desc(), items.id.desc())

INDEXES = (
    Index("items_created", Item, _NEWEST),
    Index("items_updated", Item, [items.updated_at.desc(), items.id.desc()]),
    Index("items_category_status_created", Item, [items.category, items.status, *_NEWEST]),
    Index("items_status_priority_created", Item, [items.status, items.priority.desc(), *_NEWEST]),
    Index("items_contents", Item, [items.tags, items.metadata, WORDS], using="gin"),
    Index("audit_log_item", AuditEntry, [audit.item_id, audit.id.desc()]),
)
WATCHES = (Watch(Trader, key="id"), Watch(Item, key=("id", "category")))


def trader_tags(trader_id: int) -> tuple[str, ...]:
    """What it depends on who may ask with a trader's key."""
    return (tag("traders", "id", trader_id),)


def item_tags(item_id: str) -> tuple[str, ...]:
    """What an item's answer depends on; of what is no number, there is only a refusal."""
    try:
        return (tag("items", "id", int(item_id)),)
    except ValueError:
        return (tag("items"),)


def list_tags(category: str | None) -> tuple[str, ...]:
    """What pages of items depend on: on those of one category, if only they are asked for."""
    return (tag("items") if category is None else tag("items", "category", category),)


def objects() -> list[Declaration]:
    """Everything that is declared, for ``plan`` and ``apply``."""
    return [*WATCHES, *INDEXES]
