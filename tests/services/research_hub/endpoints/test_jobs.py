"""What is done for the Research Hub in the background."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from tests.services.implementations import client_of
from tests.services.jobs import carrying_out
from tests.services.research_hub.endpoints.conftest import Service
from tests.waiting import wait_until

from tailrace.clock import SystemClock
from tailrace.db import Database
from tailrace.jobs import dead_jobs, install_tables, list_jobs, working
from tailrace.settings import Settings
from tailrace_services.research_hub.jobs import JOBS, embed_posts, reconcile_tokens
from tailrace_services.research_hub.optimised.application import create_app

FEW = """
UPDATE contents SET embedding = CASE WHEN id > 40 THEN array_fill(1, ARRAY[384])::halfvec END
"""
"""As if all posts but 40 had their vectors: making more would only take longer."""
COUNTED = text("SELECT count(*), count(embedding), count(DISTINCT xmin::text) FROM contents WHERE id <= 40")


async def dead(database: Database) -> bool:
    """Whether a job has been given up."""
    return bool(await dead_jobs(database))


async def test_tokens_that_do_not_add_up_leave_a_dead_job(optimised: Service) -> None:
    """Nothing is left while they do; when they do not, the users to look at are named, at once and without retries."""
    async with carrying_out(JOBS, optimised.database_url) as (database, carry_out):
        await carry_out(reconcile_tokens)
        await optimised.sql("UPDATE token_balances SET balance = balance + 3 WHERE user_id = 2")
        await carry_out(reconcile_tokens, dead)
        (found,) = await dead_jobs(database)
    assert found.error == "TokensDifferError: tokens do not add up; users to look at: [2]"
    assert found.job.retries == 0


async def test_posts_get_their_vectors_when_the_service_starts(new_database: Callable[[str], str]) -> None:
    """Whoever tries it out need not wait for the next full hour; of several processes that start one asks for it."""
    url = new_database("optimised")
    await install_tables(url)
    settings = Settings(database_url=SecretStr(url))
    database = Database(url)

    async def embedded() -> bool:
        ((posts, vectors, _),) = await database.fetch(COUNTED)
        return bool(posts == vectors > 0)

    try:
        await database.run(lambda session: session.execute(text(FEW)))
        assert not await embedded()
        for _ in range(2):
            async with client_of(create_app(settings, clock=SystemClock(), embed_posts=True)):
                pass
        assert [each.name for each in await list_jobs(database)] == ["embed-posts"]
        async with working(JOBS, settings):
            await wait_until(embedded, timeout=120)
    finally:
        await database.aclose()


async def test_the_service_starts_where_there_is_no_queue(
    new_database: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """Vectors are wanted, not needed: it is said why there will be none, and questions are answered by words."""
    settings = Settings(database_url=SecretStr(new_database("optimised")))
    async with client_of(create_app(settings, clock=SystemClock(), embed_posts=True)) as client:
        assert (await client.get("/query/rag", params={"q": "index"})).status_code == 200
    assert "posts get no vectors before the next full hour" in caplog.text
    assert 'relation "tailrace_jobs.pgqueuer" does not exist' in caplog.text


async def test_posts_get_their_vectors_in_one_write(optimised: Service, caplog: pytest.LogCaptureFixture) -> None:
    """Each write to the posts ends what is kept of answers, so there is one for many; it is said how many wait."""
    await optimised.sql(FEW)
    caplog.set_level("INFO", "tailrace_services")
    async with carrying_out(JOBS, optimised.database_url) as (database, carry_out):
        await carry_out(embed_posts)
        (found,) = await database.fetch(COUNTED)
    assert found[0] == found[1] > 0
    assert found[2] == 1
    assert f"{found[0]} posts have got a vector, 0 wait for theirs" in caplog.text
