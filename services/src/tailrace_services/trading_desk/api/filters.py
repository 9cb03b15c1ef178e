"""What items may be asked for, and in which orders. Pure: a value and declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from sqlalchemy import literal_column
from sqlalchemy.sql import ColumnElement

from tailrace.db import Order, Pages
from tailrace.db.totals import TotalMode
from tailrace_services.bodies import Words
from tailrace_services.instant import Instant
from tailrace_services.trading_desk.api.schemas import Category, Priority, Status, Tag, storable
from tailrace_services.trading_desk.model import PRIORITIES, AuditEntry, Item

__all__ = ["AUDIT", "ENGLISH", "ITEMS", "ItemFilter", "requested_filter"]

TOTALS: Sequence[TotalMode] = ("none", "capped", "exact", "estimated")
"""Whoever wants to know how many there are says how exactly."""

items = Item.__table__.c

ENGLISH: ColumnElement[Any] = literal_column("'english'::regconfig")
ITEMS = Pages(
    {
        "-created_at": Order(items.created_at.desc(), key=items.id),
        "created_at": Order(items.created_at, key=items.id),
        "-updated_at": Order(items.updated_at.desc(), key=items.id),
        "-priority": Order(items.priority.desc(), items.created_at.desc(), key=items.id),
    },
    totals=TOTALS,
    max_offset=0,
)
AUDIT = Pages({"-id": Order(key=AuditEntry.__table__.c.id.desc())}, totals=TOTALS, max_offset=0)

MOST_TAGS = 10
"""That may be asked for at once."""


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items; what is empty or None does not matter.

    Attributes:
        statuses, priorities: one of these; priorities as they are stored.
        tags_any, tags_all: with one of these; with all of these.
        details: JSON of an object that ``metadata`` contains.
        q: words, as web search engines take them.
        since, before: created at or after, and before.
    """

    category: str | None = None
    statuses: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    tags_any: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    details: str | None = None
    q: str | None = None
    since: datetime | None = None
    before: datetime | None = None

    @property
    def searches(self) -> bool:
        """Whether it asks for what is within tags, metadata or texts."""
        return bool(self.tags_any or self.tags_all or self.details or self.q)


async def requested_filter(
    category: Annotated[Category | None, Query()] = None,
    status: Annotated[Sequence[Status], Query(max_length=4, description="One of these.")] = (),
    priority: Annotated[Sequence[Priority], Query(max_length=4, description="One of these.")] = (),
    tags_any: Annotated[Sequence[Tag], Query(max_length=MOST_TAGS, description="One of these.")] = (),
    tags_all: Annotated[Sequence[Tag], Query(max_length=MOST_TAGS, description="All of these.")] = (),
    metadata: Annotated[
        str | None, Query(max_length=2_000, description='A JSON object that is part of it: `{"asset": "XAUUSD"}`.')
    ] = None,
    q: Annotated[
        Words | None,
        Query(min_length=2, max_length=200, description='Words in title or description; `"a phrase"`, `or`, `-not`.'),
    ] = None,
    created_since: Annotated[Instant | None, Query(description="With its offset from UTC.")] = None,
    created_before: Annotated[Instant | None, Query(description="With its offset from UTC.")] = None,
) -> ItemFilter:
    """The filter that a request asks for, a dependency of FastAPI: a coroutine, since others go to a thread and back.

    Raises:
        RequestValidationError: ``metadata`` is not the JSON of an object.
    """
    return ItemFilter(
        category,
        tuple(dict.fromkeys(status)),
        tuple(PRIORITIES.index(name) + 1 for name in dict.fromkeys(priority)),
        tuple(dict.fromkeys(tags_any)),
        tuple(dict.fromkeys(tags_all)),
        None if metadata is None else _object(metadata),
        q,
        created_since,
        created_before,
    )


def _object(text: str) -> str:
    """``text`` as PostgreSQL reads it."""
    try:
        value: Mapping[str, Any] = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return json.dumps(storable(value))
    except (ValueError, RecursionError) as error:
        message = {"type": "json", "loc": ("query", "metadata"), "msg": f"must be a JSON object: {error}", "input": ""}
        raise RequestValidationError([message]) from error
