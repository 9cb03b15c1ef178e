"""What is done for the Voice Dashboard in the background."""

from __future__ import annotations

from tests.services.voice_dashboard.endpoints.conftest import Service
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.jobs import Worker, install_tables, list_jobs
from tailrace.schema import reconcile
from tailrace_services.voice_dashboard.jobs import JOBS, reconcile_rollups
from tailrace_services.voice_dashboard.optimised.rollups import objects

PAST_THE_TRIGGERS = """
    DO $$ BEGIN
        SET LOCAL session_replication_role = replica;
        UPDATE calls SET duration_minutes = duration_minutes + 5 WHERE user_id = 1;
    END $$
"""


async def test_rollups_that_drifted_are_repaired(optimised: Service) -> None:
    """Whatever somebody did past the triggers is made good by the next night's job."""
    await optimised.sql(PAST_THE_TRIGGERS)
    before = await reconcile(optimised.database_url, objects())
    assert any(drift.keys for drift in before)
    await install_tables(optimised.database_url)
    database = Database(optimised.database_url)
    async with database.session() as session:
        await reconcile_rollups.enqueue(session)
        await session.commit()

    async def done() -> bool:
        return await list_jobs(database) == []

    worker = Worker(JOBS, database)
    await worker.start()
    await wait_until(done, timeout=60)
    await worker.stop()
    await database.aclose()
    assert [drift.keys for drift in await reconcile(optimised.database_url, objects())] == [0] * len(before)
