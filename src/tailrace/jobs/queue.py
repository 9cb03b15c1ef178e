"""The queue library, pgqueuer: its tables by name, and its statements on our connections. Touches: nothing by itself.

Its tables stand in a schema of their own, ``tailrace_jobs``, under the library's own names, so that its tools work on
them (``PGQUEUER_SCHEMA=tailrace_jobs pgq dashboard``). Nothing is read from the library's own environment variables.
"""

from __future__ import annotations

from functools import cache

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel
from pgqueuer.ports.driver import Driver
from pgqueuer.queries import Queries

__all__ = ["CHANNEL", "SCHEMA", "TICK", "TICKS", "make_queries", "names"]

SCHEMA = "tailrace_jobs"
CHANNEL = Channel("ch_pgqueuer")
"""Where the database says that there is a new job."""
TICKS = f"{SCHEMA}.ticks"
"""The last moment at which each scheduled job was due and put into the queue."""
TICK = "tailrace-tick"
"""The header of a scheduled job that says at which moment it was due, seconds since 1970."""


@cache
def names() -> DBSettings:
    """The library's objects in the database; every name given, so that the environment has no say."""
    return DBSettings(
        prefix="",
        db_schema=SCHEMA,
        channel=CHANNEL,
        function="fn_pgqueuer_changed",
        statistics_table="pgqueuer_statistics",
        queue_status_type="pgqueuer_status",
        queue_table="pgqueuer",
        queue_table_log="pgqueuer_log",
        trigger="tg_pgqueuer_changed",
        schedules_table="pgqueuer_schedules",
        durability=Durability.durable,
        widen_id=True,
    )


def make_queries(driver: Driver) -> Queries:
    """The library's statements, run by ``driver``."""
    return Queries(
        driver,
        qbe=QueryBuilderEnvironment(names()),
        qbq=QueryQueueBuilder(names()),
        qbs=QuerySchedulerBuilder(names()),
    )
