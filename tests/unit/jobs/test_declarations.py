"""Declaring jobs."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.errors import SettingsError
from tailrace.jobs import JobContext, Jobs


async def nothing(context: JobContext) -> None:
    """A job."""


@pytest.mark.parametrize(
    "declared",
    [
        {"name": "With Spaces"},
        {"name": "x" * 65},
        {"name": "taken"},
        {"name": "slow", "timeout": 0},
        {"name": "many", "concurrency": -1},
        {"name": "never", "schedule": "now and then"},
    ],
)
def test_mistakes_are_found_when_jobs_are_declared(declared: dict[str, Any]) -> None:
    """Not when they should first run."""
    jobs = Jobs()
    jobs.job("taken")(nothing)
    with pytest.raises(SettingsError, match=declared["name"]):
        jobs.job(**declared)(nothing)


def test_a_scheduled_job_needs_no_arguments() -> None:
    """A clock has none to give; one with defaults will do."""
    jobs = Jobs()

    async def wants(context: JobContext, *, user_id: int) -> None:
        """A job."""

    async def may_have(context: JobContext, *, days: int = 7) -> None:
        """A job."""

    with pytest.raises(SettingsError, match="user_id"):
        jobs.job("wants", schedule="* * * * *")(wants)
    assert jobs.job("may-have", schedule="* * * * *")(may_have).name == "may-have"


def test_a_job_is_async() -> None:
    """Everything else would stop the process for as long as it takes."""

    def blocks(context: JobContext) -> None:
        """No job."""

    with pytest.raises(SettingsError, match="async"):
        Jobs().job("blocks")(blocks)  # type: ignore[arg-type]


async def test_arguments_are_checked_where_a_job_is_enqueued() -> None:
    """Whoever enqueues learns of the mistake, not a worker days later."""
    jobs = Jobs()

    @jobs.job("greet")
    async def greet(context: JobContext, *, name: str) -> None:
        """A job."""

    for arguments in ({}, {"nmae": "x"}, {"name": "x", "more": 1}, {"name": object()}):
        with pytest.raises(TypeError):
            await greet.enqueue(None, **arguments)  # type: ignore[arg-type]


def test_a_job_that_is_not_there_is_named() -> None:
    """With those that are."""
    jobs = Jobs()
    jobs.job("one")(nothing)
    with pytest.raises(SettingsError, match="there are: one"):
        jobs["two"]
