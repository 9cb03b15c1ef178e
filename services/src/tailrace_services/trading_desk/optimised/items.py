"""The statements that read items, made once for each way to ask. Pure: statements.

An index gives rows in order only where the columns before the order have one value each. A page of several values is
therefore merged from a range for each of them: the newest items of a category from four ranges, one for each status, of
``(category, status, created_at, id)``. So few indexes serve all filters and orders:

| asked for | ranges of |
|---|---|
| nothing, or a time | ``(created_at, id)`` |
| a category, with or without statuses | ``(category, status, created_at, id)`` |
| statuses, priorities, or both | ``(status, priority, created_at, id)`` |
| the most urgent first | the same |
| the last changed first | ``(updated_at, id)`` |
| tags, metadata, words | one GIN index of all three; or an order's index, where what is asked for is frequent |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from sqlalchemy import Executable, Row, Select, SmallInteger, Text, and_, any_, bindparam, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql import ColumnElement

from tailrace.db import PageRequest
from tailrace_services.trading_desk.api.filters import ENGLISH, ItemFilter
from tailrace_services.trading_desk.api.schemas import ItemView
from tailrace_services.trading_desk.model import PRIORITIES, STATUSES, Item
from tailrace_services.trading_desk.optimised.asked import Asked

__all__ = ["COLUMNS", "ONE", "ItemQuery", "item_view"]

items = Item.__table__.c
COLUMNS = (
    *(items.id, items.title, items.description, items.category, items.priority, items.status, items.tags),
    *(items.metadata, items.created_at, items.updated_at),
)
_ITEMS: Select[*tuple[Any, ...]] = select(*COLUMNS)
ONE = _ITEMS.where(items.id == bindparam("item_id"))

_TEXTS = ARRAY(Text)
_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    "category": items.category == bindparam("category"),
    "statuses": items.status == any_(bindparam("statuses", type_=_TEXTS)),
    "priorities": items.priority == any_(bindparam("priorities", type_=ARRAY(SmallInteger))),
    "tags_any": items.tags.overlap(bindparam("tags_any", type_=_TEXTS)),
    "tags_all": items.tags.contains(bindparam("tags_all", type_=_TEXTS)),
    "details": items.metadata.contains(cast(bindparam("details", type_=Text), JSONB)),
    "q": items.words.bool_op("@@")(func.websearch_to_tsquery(ENGLISH, bindparam("q"))),
    "since": items.created_at >= bindparam("since"),
    "before": items.created_at < bindparam("before"),
}
"""By the names of a filter's fields."""

_EVERY: Mapping[str, Sequence[Any]] = {"statuses": STATUSES, "priorities": range(1, len(PRIORITIES) + 1)}
_SPLIT: Mapping[str, ColumnElement[Any]] = {"statuses": items.status, "priorities": items.priority}
"""What pages are split by: the values that there are, and the columns that have them."""


def item_view(row: Row[Any] | Sequence[Any]) -> ItemView:
    """What is shown of a row of :data:`COLUMNS`."""
    number, title, description, category, priority, status, tags, details, created_at, updated_at = tuple(row)
    return ItemView.of(
        {
            "id": number,
            "title": title,
            "description": description,
            "category": category,
            "priority": PRIORITIES[priority - 1],
            "status": status,
            "tags": tags,
            "metadata": details,
            "created_at": created_at,
            "updated_at": updated_at,
        }
    )


def split_by(wanted: ItemFilter, sort: str) -> tuple[str, ...]:
    """The fields for each of whose values a page has a range of its own; none where one range, or GIN, will do.

    >>> split_by(ItemFilter(category="risk"), "-created_at")
    ('statuses',)
    >>> split_by(ItemFilter(category="risk", q="margin"), "-created_at")
    ()
    """
    if wanted.searches or sort == "-updated_at":
        return ()
    if wanted.category is not None:
        return () if sort == "-priority" else ("statuses",)
    if sort == "-priority":
        return ("statuses",)
    return ("statuses", "priorities") if wanted.statuses or wanted.priorities else ()


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """How a page of items is read.

    Attributes:
        rows: which items there are, for totals as well.
        page: the page's statement.
        parameters: the values in both that are this filter's.
    """

    rows: Select[*tuple[Any, ...]]
    page: Executable
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, wanted: ItemFilter, asked: PageRequest) -> ItemQuery:
        """For what is wanted, in the order and at the place that are asked for."""
        given = {name: getattr(wanted, name) for name in _CONDITIONS}
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value}
        splits = {name: given.get(name) or list(_EVERY[name]) for name in split_by(wanted, asked.sort)}
        counts = tuple((name, len(values)) for name, values in splits.items())
        statements = _statements(tuple(given), counts, Asked(asked))
        values = {f"{name}_{number}": value for name, all_ in splits.items() for number, value in enumerate(all_)}
        return cls(*statements, {**given, **values})


@lru_cache(maxsize=512)
def _statements(
    given: tuple[str, ...], splits: tuple[tuple[str, int], ...], asked: Asked
) -> tuple[Select[*tuple[Any, ...]], Executable]:
    """Which rows there are, and the page; to make them costs more than to send them."""
    rows = _ITEMS.where(*[_CONDITIONS[name] for name in given])
    named = [name for name, _ in splits]
    within = _ITEMS.where(*[_CONDITIONS[name] for name in given if name not in named])
    return rows, asked.request.statement(within, list(_ranges(splits)) if splits else ())


def _ranges(splits: Sequence[tuple[str, int]]) -> Iterator[ColumnElement[bool]]:
    """A condition for each combination of values."""
    for numbers in product(*[range(count) for _, count in splits]):
        chosen = zip(splits, numbers, strict=True)
        yield and_(
            *[_SPLIT[name] == bindparam(f"{name}_{number}", type_=_SPLIT[name].type) for (name, _), number in chosen]
        )
