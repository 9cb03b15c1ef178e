"""What is recorded of time series. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tailrace import events
from tailrace.events import Event

if TYPE_CHECKING:
    from tailrace.observe.metrics import Metrics

__all__ = ["recorders_of_timeseries"]


def recorders_of_timeseries(metrics: Metrics) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    rows = metrics["tailrace.series.rows"].add
    ingested = metrics["tailrace.series.ingestion.duration"].observe
    partitions = metrics["tailrace.series.partitions"].add
    saved = metrics["tailrace.series.saved.bytes"].add
    maintained = metrics["tailrace.series.maintenance.duration"].observe

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
