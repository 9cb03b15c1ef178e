"""What is done for the Voice Dashboard in the background."""

from __future__ import annotations

from tests.services.jobs import carrying_out
from tests.services.voice_dashboard.endpoints.conftest import Service

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
    async with carrying_out(JOBS, optimised.database_url) as (_, carry_out):
        await carry_out(reconcile_rollups)
    assert [drift.keys for drift in await reconcile(optimised.database_url, objects())] == [0] * len(before)
