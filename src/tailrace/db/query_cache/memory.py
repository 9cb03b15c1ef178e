"""What was found out about statements, remembered. Pure.

Reading a statement costs a millisecond, looking it up in a catalogue a few microseconds; both give the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import ClassVar, NamedTuple, TypeVar

from tailrace.db.query_cache.catalogue import Catalogue
from tailrace.db.query_cache.dependencies import tags_of
from tailrace.db.query_cache.policy import QueryPolicy
from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.db.query_cache.statement import References, parse_statement

__all__ = ["Remembered"]

T = TypeVar("T")
Found = tuple[tuple[str, ...], bool]


class Refusal(NamedTuple):
    """A ``NotCachedError`` without the frames that it was raised in."""

    reason: str
    detail: str


class Remembered:
    """References by statement, tags by statement, search path, catalogue and policy; refusals too."""

    MOST: ClassVar[int] = 2_000
    """Statements; when there are more, all are forgotten: an application has some hundreds."""

    def __init__(self) -> None:
        self._references: dict[Hashable, References | Refusal] = {}
        self._tags: dict[Hashable, Found | Refusal] = {}

    def tags(self, statement: str, path: tuple[str, ...], catalogue: Catalogue, policy: QueryPolicy) -> Found:
        """As ``tags_of`` gives and raises it."""
        declared = tuple((name, tuple(tags)) for name, tags in policy.functions.items()) if policy.functions else ()
        key = (statement, path, catalogue.digest, policy.identity is None, declared)

        def find() -> Found:
            references = self._once(self._references, statement, lambda: parse_statement(statement))
            return tags_of(references, path, catalogue, policy)

        return self._once(self._tags, key, find)

    def _once(self, held: dict[Hashable, T | Refusal], key: Hashable, find: Callable[[], T]) -> T:
        found = held.get(key)
        if found is None:
            try:
                found = find()
            except NotCachedError as refusal:
                found = Refusal(refusal.reason, str(refusal))
            if len(held) >= self.MOST:
                held.clear()
            held[key] = found
        if isinstance(found, Refusal):
            raise NotCachedError(found.reason, found.detail)
        return found
