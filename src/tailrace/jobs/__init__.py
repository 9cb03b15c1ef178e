"""Background jobs that outlive the process: enqueued in the writing transaction, tried again, kept when they fail.

- `Jobs`: what there is to do: ``@jobs.job("refresh", schedule="*/5 * * * *")``. `Job.enqueue` in your transaction.
- `Retries`: how often and after which pauses. `JobContext`: what a running job knows of itself.
- `Worker`: does them, as a part of ``Tailrace(app, jobs=jobs)``; `working`, in a process of its own.
- `plan_tables`, `install_tables`: the queue's tables. `queue_state`, `list_jobs`, `dead_jobs`, `requeue`: what is in
  them.

Names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.jobs.context import JobContext as JobContext
    from tailrace.jobs.declarations import Job as Job
    from tailrace.jobs.declarations import Jobs as Jobs
    from tailrace.jobs.inspection import DeadJob as DeadJob
    from tailrace.jobs.inspection import QueuedJob as QueuedJob
    from tailrace.jobs.inspection import dead_jobs as dead_jobs
    from tailrace.jobs.inspection import list_jobs as list_jobs
    from tailrace.jobs.inspection import requeue as requeue
    from tailrace.jobs.installation import install_tables as install_tables
    from tailrace.jobs.installation import plan_tables as plan_tables
    from tailrace.jobs.process import working as working
    from tailrace.jobs.retries import Retries as Retries
    from tailrace.jobs.waiting import WaitingJobs as WaitingJobs
    from tailrace.jobs.waiting import queue_state as queue_state
    from tailrace.jobs.worker import Worker as Worker

_HOME = {
    "DeadJob": "inspection",
    "Job": "declarations",
    "JobContext": "execution",
    "Jobs": "declarations",
    "QueuedJob": "inspection",
    "Retries": "retries",
    "WaitingJobs": "waiting",
    "Worker": "worker",
    "dead_jobs": "inspection",
    "install_tables": "installation",
    "list_jobs": "inspection",
    "plan_tables": "installation",
    "queue_state": "waiting",
    "requeue": "inspection",
    "working": "process",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
