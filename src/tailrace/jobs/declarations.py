"""What there is to do: jobs by name, and putting them into the queue. Touches: the caller's connection.

A name is the job's identity in the queue, and a metric's label: it comes from code and outlives the process.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Concatenate, Generic, ParamSpec

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from tailrace.errors import SettingsError
from tailrace.events import JobEnqueued, Observer
from tailrace.jobs.arguments import encode
from tailrace.jobs.context import JobContext
from tailrace.jobs.cron import Cron
from tailrace.jobs.drivers import ConnectionDriver
from tailrace.jobs.queue import make_queries
from tailrace.jobs.retries import Retries
from tailrace.upstream.propagation import passed_on

__all__ = ["Job", "Jobs"]

P = ParamSpec("P")

NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Job(Generic[P]):
    """One kind of work. Made by ``Jobs.job``.

    Attributes:
        name: what the queue and the metrics call it.
        handler: does it; may run twice, so a second run must do no harm.
        queue: workers may be told to serve some queues only.
        retries: how often and after which pauses it is tried.
        timeout: seconds for one attempt.
        concurrency: how many run at once, in all processes together; 0: as many as workers have room for.
        priority: higher ones begin first.
        schedule: when it is put into the queue by itself.
        interruptible: a worker that stops does not wait for it.
        after: seconds before it may begin.
        key: while a job with this key waits or runs, no other is put into the queue.
        jobs: where it was declared.
    """

    name: str
    handler: Callable[Concatenate[JobContext, P], Awaitable[None]]
    queue: str
    retries: Retries
    timeout: float
    concurrency: int
    priority: int
    schedule: Cron | None
    interruptible: bool
    jobs: Jobs
    after: float = 0.0
    key: str | None = None

    def options(self, *, after: float | None = None, key: str | None = None, priority: int | None = None) -> Job[P]:
        """The same job, to be put into the queue otherwise.

        Args:
            after: seconds before it may begin.
            key: while a job of this name and key waits or runs, ``enqueue`` adds none and returns None. What such a job
                has read by then it does not read again: a key suits work that looks at everything there is.
            priority: in place of the declared one.
        """
        return dataclasses.replace(
            self,
            after=self.after if after is None else after,
            key=self.key if key is None else f"{self.name}:{key}",
            priority=self.priority if priority is None else priority,
        )

    async def enqueue(self, within: AsyncSession | AsyncConnection, *args: P.args, **arguments: P.kwargs) -> int | None:
        """Put it into the queue as a part of the transaction ``within``: committed with it, or not at all.

        Args:
            within: the session or connection that writes what the job is about.
            arguments: named, and data: what JSON has.

        Returns:
            The job's id, None if its key is taken.

        Raises:
            TypeError: the arguments are not the handler's, or no data.
            ValueError: they are too large.
            DatabaseError: within a Tailrace session; SQLAlchemy's errors elsewhere.

        Cost: 1 round trip.
        """
        if args:
            raise TypeError("a job's arguments are named")
        inspect.signature(self.handler).bind(None, **arguments)
        return await self.put(within, encode(arguments), passed_on())

    async def put(self, within: AsyncSession | AsyncConnection, payload: bytes, headers: dict[str, str]) -> int | None:
        """Put it into the queue with arguments that are encoded already, as ``enqueue`` does."""
        connection = await within.connection() if isinstance(within, AsyncSession) else within
        (found,) = await make_queries(ConnectionDriver(connection)).enqueue(
            [self.name],
            [payload],
            [self.priority],
            [timedelta(seconds=self.after)],
            [self.key],
            [headers],
            on_conflict="skip",
        )
        if found is not None and self.jobs.observer is not None:
            self.jobs.observer(JobEnqueued(self.name))
        return found


class Jobs:
    """The jobs of one service, by name.

    Attributes:
        observer: receives an event for each job enqueued; set by whoever runs the service.
    """

    def __init__(self) -> None:
        self.observer: Observer | None = None
        self._jobs: dict[str, Job[...]] = {}

    def job(
        self,
        name: str,
        *,
        queue: str = "default",
        retries: Retries | None = None,
        timeout: float = 300.0,
        concurrency: int = 0,
        priority: int = 0,
        schedule: str | None = None,
        interruptible: bool = False,
    ) -> Callable[[Callable[Concatenate[JobContext, P], Awaitable[None]]], Job[P]]:
        """Declare an async function as a job.

        Its first parameter is a ``JobContext``, the others are named arguments; one with a ``schedule`` has none that
        must be given.

        Args:
            name: lower case letters, digits, ``_``, ``.`` and ``-``; no other job of this service has it.
            queue: workers may be told to serve some queues only.
            retries: 5 attempts with growing pauses by default.
            timeout: seconds for one attempt.
            concurrency: how many run at once, in all processes together; 0: no limit but the workers'.
            priority: higher ones begin first.
            schedule: a cron expression, in UTC: whatever the number of processes, one job is put into the queue at each
                tick, unless the one of an earlier tick still waits or runs. Of ticks that passed while no worker ran,
                the last is made up for.
            interruptible: it is given back as soon as its worker stops, instead of being waited for: for long work that
                goes on where it was when it is begun again.

        Raises:
            SettingsError: the name is taken or malformed, or the schedule is no cron expression.
        """
        if not NAME.fullmatch(name):
            raise SettingsError(f"a job's name is lower case letters, digits, '_', '.' and '-', not {name!r}")
        if name in self._jobs:
            raise SettingsError(f"there is a job named {name} already")
        if timeout <= 0 or concurrency < 0:
            raise SettingsError(f"job {name}: a time limit is more than 0 s, and a limit of jobs at once not below 0")
        try:
            cron = None if schedule is None else Cron(schedule)
        except ValueError as error:
            raise SettingsError(f"job {name}: {error}") from error

        def declare(handler: Callable[Concatenate[JobContext, P], Awaitable[None]]) -> Job[P]:
            if not inspect.iscoroutinefunction(handler):
                raise SettingsError(f"job {name}: a job is an async function")
            if cron is not None:
                _require_no_arguments(name, handler)
            kept = retries or Retries()
            declared = Job(name, handler, queue, kept, timeout, concurrency, priority, cron, interruptible, self)
            self._jobs[name] = declared
            return declared

        return declare

    def __iter__(self) -> Iterator[Job[...]]:
        return iter(self._jobs.values())

    def __getitem__(self, name: str) -> Job[...]:
        """The job named ``name``.

        Raises:
            SettingsError: there is none.
        """
        found = self._jobs.get(name)
        if found is None:
            raise SettingsError(f"no job is named {name}; there are: {', '.join(self._jobs) or 'none'}")
        return found


def _require_no_arguments(name: str, handler: Callable[..., Any]) -> None:
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        raise SettingsError(f"job {name} has a schedule, which gives it no arguments: {error}") from None
