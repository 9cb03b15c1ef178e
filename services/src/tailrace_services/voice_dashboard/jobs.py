"""What is done for the Voice Dashboard in the background. Touches: its database."""

from __future__ import annotations

import logging

from tailrace.jobs import JobContext, Jobs
from tailrace.schema import reconcile
from tailrace_services.voice_dashboard.optimised.rollups import objects

__all__ = ["JOBS", "reconcile_rollups"]

_log = logging.getLogger("tailrace_services.voice_dashboard")

JOBS = Jobs()


@JOBS.job("reconcile-rollups", schedule="17 3 * * *", timeout=3600.0)
async def reconcile_rollups(context: JobContext) -> None:
    """Compare the rollups with the rows behind them each night, and repair what is not as it should be.

    Triggers keep them exact; whoever switches triggers off for a load of his own does not.
    """
    for drift in await reconcile(context.database.direct, objects(), repair=True):
        if drift.keys:
            _log.error("rollup %s: %d keys had drifted, and were repaired", drift.rollup, drift.keys)
