"""What the time series room emits. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.events.base import Event

__all__ = ["RowsIngested", "SeriesMaintained"]


@dataclass(frozen=True, slots=True)
class RowsIngested(Event):
    """An ingestion ended: so many rows are in, so many were refused."""

    series: str
    rows: int
    refused: int
    duration: float


@dataclass(frozen=True, slots=True)
class SeriesMaintained(Event):
    """A maintenance ended: so many partitions were made, shrunken, dropped; ``saved`` bytes came free by shrinking."""

    series: str
    made: int
    shrunken: int
    dropped: int
    saved: int
    duration: float
