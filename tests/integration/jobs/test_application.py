"""An application that has jobs and does them itself."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from tests.unit.asgi.driver import ask
from tests.waiting import wait_until

from tailrace import Tailrace
from tailrace.errors import SettingsError
from tailrace.jobs import JobContext, Jobs
from tailrace.settings import JobsSettings, Settings


def application(url: str | None, jobs: Jobs, **settings: object) -> tuple[FastAPI, Tailrace]:
    chosen = Settings(database_url=None if url is None else SecretStr(url), jobs=JobsSettings.model_validate(settings))
    app = FastAPI()
    return app, Tailrace(app, chosen, jobs=jobs)


async def test_a_request_enqueues_and_its_process_does_it(queue_url: str) -> None:
    """With the request's id, and counted; jobs may be declared after the application was made."""
    jobs = Jobs()
    seen: list[tuple[int, str | None]] = []
    app, tailrace = application(queue_url, jobs)

    @jobs.job("follow-up")
    async def follow_up(context: JobContext, *, order: int) -> None:
        assert context.database is tailrace.database
        seen.append((order, context.request_id))

    @app.post("/orders")
    async def order() -> None:
        assert tailrace.database is not None
        async with tailrace.database.session() as session:
            await follow_up.enqueue(session, order=7)
            await session.commit()

    async with tailrace.running():
        reply = await ask(app, "/orders", method="POST", headers=[(b"x-request-id", b"r-7")])
        assert reply.status == 200
        await wait_until(lambda: seen == [(7, "r-7")])
    assert tailrace.metrics["tailrace.job.enqueued"].series[("follow-up",)][0] == 1
    assert sum(tailrace.metrics["tailrace.job.run.duration"].series[("follow-up", "done")][1:]) == 1


async def test_it_stops_and_starts_again(queue_url: str) -> None:
    """Each life of the application has a worker; what the first did not begin the second does."""
    jobs = Jobs()
    done = asyncio.Event()
    _, tailrace = application(queue_url, jobs)

    @jobs.job("once")
    async def once(context: JobContext) -> None:
        done.set()

    async with tailrace.running():
        pass
    async with tailrace.running():
        assert tailrace.database is not None
        async with tailrace.database.session() as session:
            await once.enqueue(session)
            await session.commit()
        await asyncio.wait_for(done.wait(), 60)


async def test_where_others_do_them_it_only_enqueues(queue_url: str) -> None:
    """Unless it was started for that: then it does them whatever its settings say."""
    jobs = Jobs()
    done = asyncio.Event()
    _, tailrace = application(queue_url, jobs, work=False)

    @jobs.job("elsewhere")
    async def elsewhere(context: JobContext) -> None:
        done.set()

    async with tailrace.running():
        assert tailrace.database is not None
        async with tailrace.database.session() as session:
            await elsewhere.enqueue(session)
            await session.commit()
        assert not any("jobs" in task.get_name() for task in asyncio.all_tasks())
    assert not done.is_set()
    async with tailrace.working():
        await asyncio.wait_for(done.wait(), 60)


async def test_jobs_without_a_database_are_a_mistake() -> None:
    """Found when the application is made."""
    with pytest.raises(SettingsError, match="TAILRACE_DATABASE_URL"):
        application(None, Jobs())
