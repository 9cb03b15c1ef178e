"""Time series: one declaration, kept by plain PostgreSQL or by TimescaleDB, with the same answers.

- `TimeSeries`: a table of moments: partitions, retention, shrinking, summaries; one of the objects of
  `tailrace.schema`'s ``plan`` and ``apply``, and of ``tailrace schema``.
- `DailySummary`: figures by day: ``count`` and ``sum_`` of `tailrace.schema`, `minimum`, `maximum`, `first`, `last`.
- `ingest`: rows by COPY, into partitions that are made for them. `make_room`: those partitions, for other loads;
  `catch_up`: after them.
- `maintain`: what has to be done now and then: partitions ahead, shrinking, retention, summaries.

Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.timeseries.declarations import DailySummary as DailySummary
    from tailrace.timeseries.declarations import Extreme as Extreme
    from tailrace.timeseries.declarations import first as first
    from tailrace.timeseries.declarations import last as last
    from tailrace.timeseries.declarations import maximum as maximum
    from tailrace.timeseries.declarations import minimum as minimum
    from tailrace.timeseries.ingestion import Ingested as Ingested
    from tailrace.timeseries.ingestion import ingest as ingest
    from tailrace.timeseries.maintenance import Maintained as Maintained
    from tailrace.timeseries.maintenance import catch_up as catch_up
    from tailrace.timeseries.maintenance import maintain as maintain
    from tailrace.timeseries.maintenance import make_room as make_room
    from tailrace.timeseries.series import TimeSeries as TimeSeries
    from tailrace.timeseries.summary_sql import summary_table as summary_table

_HOME = {
    "DailySummary": "declarations",
    "Extreme": "declarations",
    "Ingested": "ingestion",
    "Maintained": "maintenance",
    "TimeSeries": "series",
    "catch_up": "maintenance",
    "first": "declarations",
    "ingest": "ingestion",
    "last": "declarations",
    "maintain": "maintenance",
    "make_room": "maintenance",
    "maximum": "declarations",
    "minimum": "declarations",
    "summary_table": "summary_sql",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
