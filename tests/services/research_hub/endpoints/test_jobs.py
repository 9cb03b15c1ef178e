"""What is done for the Research Hub in the background."""

from __future__ import annotations

from sqlalchemy import text
from tests.services.jobs import carrying_out
from tests.services.research_hub.endpoints.conftest import Service

from tailrace.db import Database
from tailrace.jobs import dead_jobs
from tailrace_services.research_hub.jobs import JOBS, embed_posts, reconcile_tokens

COUNTED = text("SELECT count(*), count(embedding), count(DISTINCT xmin::text) FROM contents")


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


async def test_posts_get_their_vectors_in_one_write(optimised: Service) -> None:
    """Each write to the posts ends what is kept of answers, so there is one for all of them."""
    await optimised.sql("UPDATE contents SET embedding = NULL")
    async with carrying_out(JOBS, optimised.database_url) as (database, carry_out):
        await carry_out(embed_posts)
        (found,) = await database.fetch(COUNTED)
    assert found[0] == found[1] > 0
    assert found[2] == 1
