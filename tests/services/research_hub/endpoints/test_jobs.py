"""What is done for the Research Hub in the background."""

from __future__ import annotations

from sqlalchemy import text
from tests.services.research_hub.endpoints.conftest import Service
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import Worker, dead_jobs, install_tables, list_jobs
from tailrace_services.research_hub.jobs import JOBS, embed_posts, reconcile_tokens


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


async def test_posts_get_their_vectors_in_one_write(optimised: Service) -> None:
    """Each write to the posts ends what is kept of answers, so there is one for all of them."""
    await install_tables(optimised.database_url)
    await optimised.sql("UPDATE contents SET embedding = NULL")
    database = Database(optimised.database_url)
    async with database.session() as session:
        await embed_posts.enqueue(session)
        await session.commit()

    async def done() -> bool:
        return await list_jobs(database) == []

    worker = Worker(JOBS, database)
    await worker.start()
    await wait_until(done, timeout=120)
    await worker.stop()
    (found,) = await database.fetch(text("SELECT count(*), count(embedding), count(DISTINCT xmin::text) FROM contents"))
    await database.aclose()
    assert found[0] == found[1] > 0
    assert found[2] == 1
