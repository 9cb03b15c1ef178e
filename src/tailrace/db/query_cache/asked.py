"""One statement as the query cache sees it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tailrace.db.query_cache.policy import QueryPolicy
from tailrace.db.query_cache.standing import Standing

__all__ = ["Asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One statement.

    Attributes:
        key: its result's name in the cache.
        policy: how it is cached.
        statement: its text, without comments that listeners have added.
        sent: text and parameters as the driver gets them.
        tags: what its result depends on.
        determined: whether equal tables certainly give equal rows.
        catalogue: digest of what it was understood by.
        standing: of the connection it would run on.
        changed: whether its transaction or its connection has settings of its own.
    """

    key: str
    policy: QueryPolicy
    statement: str
    sent: tuple[str, Any]
    tags: tuple[str, ...]
    determined: bool
    catalogue: str
    standing: Standing
    changed: bool
