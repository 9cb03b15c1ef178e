"""The worker of an application that has jobs. Touches: nothing until it is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tailrace.errors import SettingsError

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace
    from tailrace.jobs import Worker

__all__ = ["make_worker"]


def make_worker(tailrace: Tailrace) -> Worker | None:
    """What does the application's jobs; None where it has none.

    Raises:
        SettingsError: it has jobs, and no database that keeps them.
    """
    if tailrace.jobs is None:
        return None
    if tailrace.database is None:
        raise SettingsError("jobs are kept in the database: set TAILRACE_DATABASE_URL")
    from tailrace.jobs import Worker

    tailrace.jobs.observer = tailrace.observer
    return Worker(
        tailrace.jobs,
        tailrace.database,
        settings=tailrace.settings.jobs,
        clock=tailrace.clock,
        observer=tailrace.observer,
    )
