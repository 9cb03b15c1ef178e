"""What is done for the Research Hub in the background."""

from __future__ import annotations

from tests.services.research_hub.endpoints.conftest import Service
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import Worker, dead_jobs, install_tables, list_jobs
from tailrace_services.research_hub.jobs import JOBS, reconcile_tokens


async def test_tokens_that_do_not_add_up_leave_a_dead_job(optimised: Service) -> None:
    """Nothing is left while they do; when they do not, the users to look at are named, at once and without retries."""
    await install_tables(optimised.database_url)
    database = Database(optimised.database_url)

    async def enqueue() -> None:
        async with database.session() as session:
            await reconcile_tokens.enqueue(session)
            await session.commit()

    async def done() -> bool:
        return await list_jobs(database) == []

    async def dead() -> bool:
        return bool(await dead_jobs(database))

    worker = Worker(JOBS, database)
    await worker.start()
    await enqueue()
    await wait_until(done, timeout=60)
    await optimised.sql("UPDATE token_balances SET balance = balance + 3 WHERE user_id = 2")
    await enqueue()
    await wait_until(dead, timeout=60)
    await worker.stop()
    (found,) = await dead_jobs(database)
    await database.aclose()
    assert found.error == "TokensDifferError: tokens do not add up; users to look at: [2]"
    assert found.job.retries == 0
