"""The bodies of answers and of writes: one set for both implementations. Pure. Moments are UTC, ISO 8601 with ``Z``."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from tailrace_services.bodies import Body, Printable, RequestBody, Token

__all__ = [
    "LONGEST_DESCRIPTION",
    "Action",
    "AuditView",
    "Category",
    "Details",
    "ItemChange",
    "ItemView",
    "NewItem",
    "Priority",
    "Status",
    "Tag",
    "Token",
    "TraderName",
    "storable",
]

Status = Literal["open", "in_progress", "in_review", "done"]
Priority = Literal["low", "medium", "high", "critical"]
Action = Literal["created", "changed", "deleted"]
"""These three as in ``model``; a test holds them together."""

MOST_TAGS = 20
LONGEST_DESCRIPTION = 20_000
LONGEST_DETAILS = 10_000
"""Characters of ``metadata`` as JSON."""


def storable(value: dict[str, Any]) -> dict[str, Any]:
    """``value``, which PostgreSQL can keep as ``jsonb``; ``ValueError`` for what it cannot, or what is too long."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if "\\u0000" in text:
        raise ValueError("must not contain NUL characters")
    if len(text) > LONGEST_DETAILS:
        raise ValueError(f"must be at most {LONGEST_DETAILS} characters as JSON")
    return value


Title = Annotated[str, Field(min_length=1, max_length=300), Printable]
Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION), Printable]
Category = Annotated[str, Field(min_length=1, max_length=50), Printable]
Tag = Annotated[str, Field(min_length=1, max_length=50), Printable]
Tags = Annotated[
    list[Tag],
    Field(max_length=MOST_TAGS, description="Each once; repeated ones are left out."),
    AfterValidator(lambda tags: list(dict.fromkeys(tags))),
]
Details = Annotated[dict[str, JsonValue], AfterValidator(storable)]


class ItemView(Body):
    """A work item."""

    id: int
    title: str
    description: str
    category: str
    priority: Priority
    status: Status
    tags: list[str]
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class TraderName(Body):
    """Somebody at the desk, as others see one."""

    id: int
    name: str


class AuditView(Body):
    """That somebody created, changed or deleted an item."""

    id: int
    item_id: int
    trader: TraderName
    action: Action
    changes: Annotated[
        dict[str, Annotated[list[JsonValue], Field(min_length=2, max_length=2)]],
        Field(description="Of each field what it was, and what it is."),
    ]
    created_at: datetime


class NewItem(RequestBody):
    """``POST /api/items``."""

    title: Title
    description: Description = ""
    category: Category
    priority: Priority = "medium"
    status: Status = "open"
    tags: Tags = Field(default_factory=list)
    metadata: Details = Field(default_factory=dict)


class ItemChange(RequestBody):
    """``PATCH /api/items/{id}``: the fields that are to change, at least one; each is replaced as a whole."""

    title: Title | None = None
    description: Description | None = None
    category: Category | None = None
    priority: Priority | None = None
    status: Status | None = None
    tags: Tags | None = None
    metadata: Details | None = None

    @model_validator(mode="after")
    def _something_to_change(self) -> ItemChange:
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("a field to change must not be null; leave out what stays")
        return self
