"""What the optimised service keeps in its database beyond the original's tables. Pure: declarations.

Five indexes serve every way to ask for items, since pages of several values of a column are merged from a range of
each (:mod:`...optimised.items`).
"""

from __future__ import annotations

from tailrace.cache import tag
from tailrace.schema import Declaration, Index, Watch
from tailrace.semantic.documents import document_objects
from tailrace_services.trading_desk.model import AuditEntry, Item, Trader
from tailrace_services.trading_desk.optimised.days import DATE
from tailrace_services.trading_desk.signal_series import SIGNAL_DAYS, SIGNALS

__all__ = ["INDEXES", "WATCHES", "item_tags", "list_tags", "objects", "signal_tags", "trader_tags"]

items, audit = Item.__table__.c, AuditEntry.__table__.c
_NEWEST = (items.created_at.desc(), items.id.desc())

INDEXES = (
    Index("items_created", Item, _NEWEST),
    Index("items_updated", Item, [items.updated_at.desc(), items.id.desc()]),
    Index("items_category_status_created", Item, [items.category, items.status, *_NEWEST]),
    Index("items_status_priority_created", Item, [items.status, items.priority.desc(), *_NEWEST]),
    Index("items_contents", Item, [items.tags, items.metadata, items.words], using="gin"),
    Index("audit_log_item", AuditEntry, [audit.item_id, audit.id.desc()]),
    Index("signals_daily_asset_day", SIGNAL_DAYS, [SIGNAL_DAYS.c.asset, DATE]),
)
WATCHES = (Watch(Trader, key="id"), Watch(Item, key=("id", "category")), Watch(SIGNAL_DAYS, key=("asset", "channel")))


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


def signal_tags(asset: str | None, channel: str | None) -> tuple[str, ...]:
    """What answers about signals depend on: those of one asset, or else of one channel, if only they are asked for.

    It is the days that are watched: no signal comes, changes or goes that its day's figures are not written for.
    """
    for key, value in (("asset", asset), ("channel", channel)):
        if value is not None:
            return (tag(SIGNAL_DAYS.name, key, value),)
    return (tag(SIGNAL_DAYS.name),)


def objects() -> list[Declaration]:
    """Everything that is declared, for ``plan`` and ``apply``."""
    return [SIGNALS, *WATCHES, *INDEXES, *document_objects()]
