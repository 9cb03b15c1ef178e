"""Which statements are cached, and for how long. Pure: values, and an execution option that carries one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Executable

from tailrace.cache import CachePolicy

__all__ = ["OPTION", "QueryPolicy", "cached_query"]

OPTION = "tailrace_query"
"""The execution option that holds a statement's policy; None keeps a statement of a caching session from the cache."""

Identity = int | str | UUID
S = TypeVar("S", bound=Executable)


@dataclass(frozen=True, slots=True)
class QueryPolicy:
    """How the results of statements are cached.

    Attributes:
        name: label in events and metrics, and first part of the keys.
        ttl: seconds for which a result lives if nothing it depends on is written before.
        identity: whose result it is, where the database itself tells callers apart: by row security, or by a setting
            that the statement reads. Two callers with equal identities must see the same rows.
        functions: what the service's own functions read: name, with its schema outside the search path or without, to
            the tables' tags; empty for one whose result follows from its arguments alone.
    """

    name: str = "query"
    ttl: float = 60.0
    identity: Identity | None = None
    functions: Mapping[str, Collection[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        CachePolicy(self.name, ttl=self.ttl)  # the same mistakes are refused

    @property
    def caching(self) -> CachePolicy:
        """As the cache has it: never refreshed in the background, where there is no connection to do it on."""
        return CachePolicy(self.name, ttl=self.ttl, early_refresh=0.0)


DEFAULT = QueryPolicy()


def cached_query(statement: S, policy: QueryPolicy = DEFAULT, *, identity: Identity | None = None) -> S:
    """The same statement, its result taken from the cache where that is certain to be right.

    Args:
        statement: a SELECT over tables or mapped classes; anything else runs as ever.
        policy: how long, and what the service's own functions read.
        identity: in place of the policy's.
    """
    chosen = policy if identity is None else replace(policy, identity=identity)
    options: dict[str, Any] = {OPTION: chosen}
    return statement.execution_options(**options)
