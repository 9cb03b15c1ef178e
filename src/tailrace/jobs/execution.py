"""One attempt at one job: its time limit, what becomes of it, and what is told of it. Touches: the handler, the log.

The queue keeps a job until it is known what became of it. So whatever ends an attempt is turned into one of four
outcomes here, cancellation too: done; tried again later; dead, and kept; or given back as if it had not begun.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pgqueuer.core.executors import AbstractEntrypointExecutor, EntrypointExecutorParameters
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Context, Log
from pgqueuer.domain.models import Job as QueueRow
from pgqueuer.queries import Queries

from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.errors import JobAbandonedError, JobTimeoutError
from tailrace.events import JobFinished, JobOutcome, JobStarted, Observer
from tailrace.jobs.arguments import decode
from tailrace.jobs.context import JobContext
from tailrace.jobs.declarations import Job
from tailrace.jobs.queue import TICK
from tailrace.jobs.retries import Change, failures
from tailrace.upstream.propagation import PASSED_ON, propagated_headers

__all__ = ["GIVEN_BACK", "Execution", "Surroundings", "changes"]

_log = logging.getLogger("tailrace.jobs")

GIVEN_BACK = "given back"
"""The reason that the queue's log has for a job whose worker stopped."""
UNWINDING = 5.0
"""Seconds for which a handler that was told to end is waited for."""
HISTORY = 1000
"""Most changes of one job that are looked at."""


@dataclass(slots=True)
class Surroundings:
    """What all attempts of one worker share. When ``cut_off`` is set, those under way are given back; where a job is
    interruptible, as soon as ``stopping`` is."""

    database: Database
    queries: Queries
    clock: Clock
    random: Callable[[], float]
    observer: Observer | None
    stopping: asyncio.Event
    cut_off: asyncio.Event
    under_way: int = 0


class Execution(AbstractEntrypointExecutor):
    """Does one kind of job whenever the library has picked one."""

    def __init__(self, job: Job[...], surroundings: Surroundings) -> None:
        super().__init__(EntrypointExecutorParameters(job.concurrency, _done_elsewhere, on_failure="hold"))
        self._job = job
        self._around = surroundings

    async def execute(self, job: QueueRow, context: Context) -> None:
        """One attempt.

        Raises:
            RetryRequested: the library puts it back, to begin after a pause.
            Exception: the library keeps it, as dead.
        """
        around, name = self._around, self._job.name
        outcome: JobOutcome = "dead"
        began = around.clock.monotonic()
        around.under_way += 1
        self._tell(JobStarted(name, max(0.0, around.clock.now() - job.execute_after.timestamp())))
        failed = 0
        try:
            failed = failures(changes(await around.queries.job_log_history(job.id, HISTORY)))
            if failed >= self._job.retries.attempts:
                raise JobAbandonedError(f"{failed} attempts ended with the process that made them")
            await self._attempt(job, failed)
            outcome = "done"
        except (RetryRequested, asyncio.CancelledError) as back:
            outcome = "given_back"
            raise RetryRequested(reason=GIVEN_BACK) from back
        except Exception as error:
            delay = self._job.retries.delay(failed + 1, error, around.random())
            if delay is None:
                raise
            outcome = "retried"
            raise RetryRequested(timedelta(seconds=delay), _describe(error)) from error
        finally:
            around.under_way -= 1
            self._tell(JobFinished(name, outcome, around.clock.monotonic() - began))

    async def _attempt(self, row: QueueRow, failed: int) -> None:
        """Run the handler in a task of its own, so that what ends it is told from what ends the worker."""
        headers = {name: str(value) for name, value in (row.headers or {}).items()}
        told = JobContext(
            id=row.id,
            name=self._job.name,
            attempt=failed + 1,
            database=self._around.database,
            request_id=headers.get("x-request-id"),
            tick=_moment(headers.get(TICK)),
        )
        passed_on = {name: value for name, value in headers.items() if name in PASSED_ON}
        work = asyncio.create_task(self._handle(told, decode(row.payload), passed_on), name=f"tailrace job {row.id}")
        end = self._around.stopping if self._job.interruptible else self._around.cut_off
        cut_off = asyncio.create_task(end.wait())
        try:
            await asyncio.wait({work, cut_off}, timeout=self._job.timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                if work.cancelled():
                    raise JobTimeoutError("the job ended its own task")
                return work.result()
            if not cut_off.done():
                raise JobTimeoutError(f"the job took longer than {self._job.timeout:g} s")
            raise RetryRequested(reason=GIVEN_BACK)
        finally:
            cut_off.cancel()
            await _end(work)

    async def _handle(self, context: JobContext, arguments: dict[str, Any], headers: Mapping[str, str]) -> None:
        token = propagated_headers.set(headers)
        try:
            await self._job.handler(context, **arguments)
        finally:
            propagated_headers.reset(token)

    def _tell(self, event: JobStarted | JobFinished) -> None:
        if self._around.observer is not None:
            self._around.observer(event)


async def _end(work: asyncio.Task[None]) -> None:
    """Cancel what is still running, and wait for it to unwind, not for ever."""
    if work.done():
        return
    work.cancel()
    await asyncio.wait({work}, timeout=UNWINDING)
    if not work.done():
        _log.error("%s was told to end and goes on; it may be running twice soon", work.get_name())
    elif not work.cancelled() and work.exception() is not None:
        _log.warning("%s failed while it was ended: %s", work.get_name(), _describe(work.exception()))


def changes(history: list[Log]) -> list[Change]:
    """What the queue's log says happened to a job, in order; transitions that say nothing of attempts are left out."""
    found: list[Change] = []
    for entry in history:
        if entry.status == "picked":
            found.append("begun")
        elif entry.status == "queued":
            told = entry.traceback
            if told is None:
                found.append("queued")
            else:
                reason = (told.additional_context or {}).get("reason")
                found.append("given_back" if reason == GIVEN_BACK else "failed")
    return found


def _describe(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


def _moment(tick: str | None) -> datetime | None:
    return None if tick is None else datetime.fromtimestamp(int(tick), UTC)


async def _done_elsewhere(_row: QueueRow) -> None:
    """What the library would call if jobs had no executor of their own."""
    raise AssertionError("jobs are run by their executor")
