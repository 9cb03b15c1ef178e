"""The proof itself, in a short form, on the real service: real servers, the small scale, writers of both kinds."""

from __future__ import annotations

import asyncpg

from tailrace.embedded import PostgresServer
from tailrace_services.prove.databases import prepare
from tailrace_services.prove.phases import Effort
from tailrace_services.prove.run import prove
from tailrace_services.voice_dashboard.proof import SUBJECT


async def test_fast_and_slow_answer_alike_at_rest_and_under_writes(postgres: PostgresServer, valkey_url: str) -> None:
    """Every field of every endpoint, as calculated, as cached, and while API and psql write."""
    databases = await prepare(SUBJECT, postgres.url(), lambda phase, done, total: None, scale="small")
    effort = Effort(users=12, writes_seconds=4.0, mix_users=8, mix_seconds=2.0)
    only = ("answers", "sizes", "mix", "writes")
    proof = await prove(SUBJECT, databases, valkey_url, scale="small", only=only, effort=effort)
    assert proof.equal, "\n\n".join(map(str, proof.mismatches))
    assert len(proof.rows) == 6
    assert all(row.answers_compared == row.answers_equal > 12 for row in proof.rows)
    assert any(row.hit_ratio for row in proof.rows)
    errors = next(goal for goal in proof.goals if goal.name == "errors under the mix")
    assert errors.met, errors.measured

    # What this run wrote is put back by the next: both databases hold the same calls again.
    again = await prepare(SUBJECT, postgres.url(), lambda phase, done, total: None, scale="small")
    assert again.calls == databases.calls == 100_000
    for url in (again.url, again.baseline_url):
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM calls") == 100_000
        finally:
            await connection.close()
