"""What the service's tables refuse."""

from __future__ import annotations

import asyncpg
import pytest
from tests.services.conftest import MakeTables

from tailrace_services.voice_dashboard.data import DATA


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO calls (user_id, agent_id, status) VALUES (2, 1, 'completed')",
        "INSERT INTO calls (user_id, agent_id, status) VALUES (1, 1, 'lost')",
        "INSERT INTO calls (user_id, agent_id, status, duration_minutes) VALUES (1, 1, 'busy', -0.001)",
        "INSERT INTO calls (user_id, agent_id, status, credits_used) VALUES (1, 1, 'busy', -1)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (1, 101)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (1, -1)",
        "INSERT INTO lead_analytics (call_id, total_score) VALUES (99, 50)",
        "UPDATE agents SET status = 'gone'",
        "UPDATE agents SET user_id = 2",
        "DELETE FROM agents",
        "INSERT INTO users (email, api_key_hash) VALUES ('one@example.com', '')",
    ],
)
async def test_what_cannot_be_is_refused(make_tables: MakeTables, statement: str) -> None:
    """The database itself refuses rows that make no sense, a call by another user's agent among them."""
    connection = await asyncpg.connect(make_tables(DATA))
    try:
        await connection.execute("INSERT INTO users (email, api_key_hash) VALUES ('one@example.com', ''), ('two', '')")
        await connection.execute(
            "INSERT INTO agents (user_id, external_id, name, type, status) "
            "VALUES (1, 'agent_1', 'Ada', 'sales', 'active')"
        )
        await connection.execute("INSERT INTO calls (user_id, agent_id, status) VALUES (1, 1, 'completed')")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(statement)
    finally:
        await connection.close()
