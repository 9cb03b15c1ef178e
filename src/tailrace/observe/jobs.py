"""What is recorded of background jobs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tailrace import events
from tailrace.events import Event
from tailrace.observe.family import Family

__all__ = ["recorders_of_jobs"]


def recorders_of_jobs(families: Mapping[str, Family]) -> dict[type[Event], Callable[[Any], None]]:
    """What to call for each kind of event."""
    enqueued = families["tailrace.job.enqueued"].add
    waited = families["tailrace.job.wait_time"].observe
    running = families["tailrace.job.running"].add
    lasted = families["tailrace.job.run.duration"].observe
    waiting = families["tailrace.job.waiting"].set
    oldest = families["tailrace.job.oldest.age"].set
    dead = families["tailrace.job.dead"].set

    def job_started(event: events.JobStarted) -> None:
        waited((event.job,), event.waited)
        running((event.job,), 1)

    def job_finished(event: events.JobFinished) -> None:
        running((event.job,), -1)
        lasted((event.job, event.outcome), event.duration)

    def jobs_measured(event: events.JobsMeasured) -> None:
        waiting((event.job,), event.waiting)
        oldest((event.job,), event.oldest)
        dead((event.job,), event.dead)
        running((event.job,), 0)  # there from the start, not from the first job

    return {
        events.JobEnqueued: lambda e: enqueued((e.job,)),
        events.JobStarted: job_started,
        events.JobFinished: job_finished,
        events.JobsMeasured: jobs_measured,
    }
