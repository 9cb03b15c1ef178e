"""The figures of a time series by day, as they are declared. Pure: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tailrace.errors import SchemaError
from tailrace.schema import Measure

__all__ = ["DAY", "ROW_COUNT", "DailySummary", "Extreme", "Figure", "first", "last", "maximum", "minimum"]

DAY = "day"
"""The column of a summary that says which day: its beginning in UTC."""
ROW_COUNT = "row_count"
"""The column that counts a day's rows where no figure does."""


@dataclass(frozen=True, slots=True, eq=False)
class Extreme:
    """A figure that cannot be kept by adding. Make it with `minimum`, `maximum`, `first` or `last`."""

    kind: Literal["minimum", "maximum", "first", "last"]
    of: Any
    where: Any = None


Figure = Measure | Extreme


def minimum(of: Any, *, where: Any = None) -> Extreme:
    """The least ``of``, NULL when there is none."""
    return Extreme("minimum", of, where)


def maximum(of: Any, *, where: Any = None) -> Extreme:
    """The greatest ``of``, NULL when there is none."""
    return Extreme("maximum", of, where)


def first(of: Any, *, where: Any = None) -> Extreme:
    """The earliest ``of`` that is not NULL; of several at one moment the least. ``<name>_at`` says when."""
    return Extreme("first", of, where)


def last(of: Any, *, where: Any = None) -> Extreme:
    """The latest ``of`` that is not NULL; of several at one moment the greatest. ``<name>_at`` says when."""
    return Extreme("last", of, where)


@dataclass(frozen=True, eq=False)
class DailySummary:
    """Figures of a series by UTC day: a table ``name`` with ``day``, the columns ``by`` and the figures.

    It outlives the rows: a day whose partition retention has dropped keeps its figures.

    Args:
        name: the table's name; it lives in the schema of the series.
        by: columns of the series that are never NULL.
        figures: name -> ``count`` or ``sum_`` of `tailrace.schema`, or `minimum`, `maximum`, `first`, `last`.

    Raises:
        SchemaError: two columns share a name, there is no figure, or one is an average (keep its sum and its count).
    """

    name: str
    by: Sequence[str]
    figures: Mapping[str, Figure]

    def __post_init__(self) -> None:
        object.__setattr__(self, "by", tuple(self.by))
        object.__setattr__(self, "figures", dict(self.figures))
        if not self.figures:
            raise SchemaError(f"summary {self.name}: needs a figure")
        for name, figure in self.figures.items():
            if figure.kind == "avg":
                raise SchemaError(f"summary {self.name}: keep the sum and the count in place of the average {name}")
        names = [DAY, *self.by, *self.figures, *self.moments]
        names += [] if self.row_count in self.figures else [self.row_count]
        if len(set(names)) != len(names):
            raise SchemaError(f"summary {self.name}: two columns share a name: {', '.join(sorted(names))}")

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the primary key, in order: a range of days of one ``by`` is one range of it."""
        return (*self.by, DAY)

    @property
    def moments(self) -> tuple[str, ...]:
        """Columns that say when a first or last value was."""
        return tuple(f"{name}_at" for name, figure in self.figures.items() if figure.kind in ("first", "last"))

    @property
    def row_count(self) -> str:
        """The column that counts all rows of a day."""
        for name, figure in self.figures.items():
            if figure.kind == "count" and figure.of is None and figure.where is None:
                return name
        return ROW_COUNT
