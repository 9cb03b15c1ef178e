"""The proof itself, in a short form, on the real services: real servers, the small scale, everybody who writes."""

from __future__ import annotations

import asyncpg
import pytest

from tailrace.embedded import PostgresServer
from tailrace_services.prove.databases import prepare
from tailrace_services.prove.phases import Effort
from tailrace_services.prove.run import prove
from tailrace_services.prove.subject import Subject
from tailrace_services.services import SERVICES

SUBJECTS = [service.subject() for service in SERVICES]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
async def test_fast_and_slow_answer_alike_at_rest_and_under_writes(
    postgres: PostgresServer, valkey_url: str, subject: Subject
) -> None:
    """Every field of every endpoint, as calculated, as cached, and while API and psql write."""
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    effort = Effort(users=12, writes_seconds=4.0, mix_users=8, mix_seconds=2.0)
    only = ("answers", "sizes", "mix", "writes")
    proof = await prove(subject, databases, valkey_url, scale="small", only=only, effort=effort)
    assert proof.equal, "\n\n".join(map(str, proof.mismatches))
    assert [row.endpoint for row in proof.rows] == [endpoint.name for endpoint in subject.endpoints]
    assert all(row.answers_compared == row.answers_equal > 12 for row in proof.rows)
    asked = [endpoint.share > 0 for endpoint in subject.endpoints]
    assert [row.hit_ratio is not None for row in proof.rows] == asked
    assert any(row.hit_ratio for row in proof.rows)
    errors = next(goal for goal in proof.goals if goal.name == "errors under the mix")
    assert errors.met, errors.measured

    # What this run wrote is put back by the next: both databases hold the same rows again, and neither has work left
    # that the server would do while something is measured.
    again = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    assert again.size == databases.size
    assert again.size.count == getattr(subject.data.generation.scales["small"], again.size.of)
    for url in (again.url, again.baseline_url):
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval(f"SELECT count(*) FROM {again.size.of}") == again.size.count
            vacuumed = "SELECT last_vacuum FROM pg_stat_user_tables WHERE relname = $1"
            assert await connection.fetchval(vacuumed, again.size.of)
        finally:
            await connection.close()
