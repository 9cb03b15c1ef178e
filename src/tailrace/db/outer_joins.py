"""Which tables' columns an outer join of a statement makes nullable that are not in their own table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import FromClause
from sqlalchemy.sql import Join, Select

__all__ = ["outer_joined"]


def outer_joined(statement: Select[*tuple[object, ...]]) -> Iterator[FromClause]:
    """Tables of which an outer join may leave a row's columns NULL."""
    joined = list(statement.get_final_froms())
    while joined:
        join = joined.pop()
        # What is joined within a subquery is not looked at: outside of it its columns are the subquery's own.
        if isinstance(join, Join):
            joined += (join.left, join.right)
            if join.isouter or join.full:
                yield from _parts(join.right)
            if join.full:
                yield from _parts(join.left)


def _parts(side: FromClause) -> Iterator[FromClause]:
    """A side of a join, and what it is made of if it is a join itself."""
    yield side
    if isinstance(side, Join):
        yield from _parts(side.left)
        yield from _parts(side.right)
