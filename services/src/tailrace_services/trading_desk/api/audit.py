"""What is noted of a change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tailrace.errors import RequestError
from tailrace_services.trading_desk.api.schemas import ItemChange, ItemView, NewItem
from tailrace_services.trading_desk.model import PRIORITIES

__all__ = ["FIELDS", "Changes", "changes", "item_not_found", "noted", "stored"]

FIELDS = ("title", "description", "category", "priority", "status", "tags", "metadata")
"""What is written of an item, by the names of its answers."""

Changes = dict[str, tuple[Any, Any]]
"""Of each field that differs what it was and what it is."""


def noted(item: NewItem | ItemView) -> dict[str, Any]:
    """An item's fields as the log has them."""
    return {name: getattr(item, name) for name in FIELDS}


def changes(item: ItemView, change: ItemChange) -> Changes:
    """What ``change`` does to ``item``; empty if nothing.

    >>> item = ItemView.model_construct(title="Roll", tags=["wti"])
    >>> changes(item, ItemChange(title="Roll WTI", tags=["wti"]))
    {'title': ('Roll', 'Roll WTI')}
    """
    wanted = {name: getattr(change, name) for name in FIELDS if name in change.model_fields_set}
    return {name: (getattr(item, name), value) for name, value in wanted.items() if getattr(item, name) != value}


def stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as the table has them: a priority as its number.

    >>> stored({"priority": "low", "title": "Roll"})
    {'priority': 1, 'title': 'Roll'}
    """
    return {name: PRIORITIES.index(value) + 1 if name == "priority" else value for name, value in fields.items()}


def item_not_found(item_id: int) -> RequestError:
    """404."""
    return RequestError(f"there is no item {item_id}", status=404, code="item_not_found")
