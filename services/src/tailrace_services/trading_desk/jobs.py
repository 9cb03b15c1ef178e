"""What is done for the Trading Desk in the background. Touches: its database."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import aclosing

from tailrace.jobs import JobContext, Jobs
from tailrace.schema import reconcile
from tailrace.semantic import Embedder
from tailrace.timeseries import maintain
from tailrace_services.trading_desk.answers.upkeep import load_default_documents
from tailrace_services.trading_desk.signal_series import SIGNALS

__all__ = ["JOBS", "load_default_corpus", "maintain_signals", "reconcile_signals"]

_log = logging.getLogger("tailrace_services.trading_desk")

JOBS = Jobs()


@JOBS.job("maintain-signals", schedule="7 0 * * *", timeout=6 * 3600.0)
async def maintain_signals(context: JobContext) -> None:
    """Each night make partitions for the days to come, shrink those that are old, and drop those that are too old."""
    done = await maintain(context.database.direct, SIGNALS)
    _log.info("signals: %d days made, %d shrunken, %d dropped; %d bytes less", *dataclasses.astuple(done))


@JOBS.job("reconcile-signals", schedule="37 3 * * *", timeout=3600.0)
async def reconcile_signals(context: JobContext) -> None:
    """Compare the days of signals with the signals each night, and repair what is not as it should be.

    Triggers keep them exact; whoever switches triggers off for a load of his own does not.
    """
    for drift in await reconcile(context.database.direct, [SIGNALS], repair=True):
        if drift.keys:
            _log.error("summary %s: %d days had drifted, and were repaired", drift.rollup, drift.keys)


@JOBS.job("load-default-documents", timeout=3600.0, interruptible=True)
async def load_default_corpus(context: JobContext) -> None:
    """Load what questions are answered from until an operator loads something else, by a processor that serves nobody.

    The service enqueues it when it starts. A second run finds everything there.
    """
    async with aclosing(Embedder()) as embedder:
        await load_default_documents(context.database.direct, embedder)
