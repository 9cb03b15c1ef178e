"""What is recorded of time series. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tailrace import events
from tailrace.events import Event
from tailrace.observe.family import Family

__all__ = ["recorders_of_timeseries"]


def recorders_of_timeseries(families: Mapping[str, Family]) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    rows = families["tailrace.series.rows"].add
    ingested = families["tailrace.series.ingestion.duration"].observe
    partitions = families["tailrace.series.partitions"].add
    saved = families["tailrace.series.saved.bytes"].add
    maintained = families["tailrace.series.maintenance.duration"].observe

    def rows_ingested(event: events.RowsIngested) -> None:
        rows((event.series, "stored"), event.rows)
        rows((event.series, "refused"), event.refused)
        ingested((event.series,), event.duration)

    def series_maintained(event: events.SeriesMaintained) -> None:
        for action, count in (("made", event.made), ("shrunken", event.shrunken), ("dropped", event.dropped)):
            partitions((event.series, action), count)
        saved((event.series,), event.saved)
        maintained((event.series,), event.duration)

    return {events.RowsIngested: rows_ingested, events.SeriesMaintained: series_maintained}
