"""What the service's tables refuse, and what they make themselves."""

from __future__ import annotations

import asyncpg
import pytest
from tests.services.conftest import MakeTables

from tailrace_services.call_coach.data import DATA

TURN = "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text)"
SESSION = "INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, rubric_version)"


@pytest.mark.parametrize(
    "statement",
    [
        f"{TURN} VALUES (2, 1, 1, 0, 1, '')",
        f"{TURN} VALUES (1, 1, 1, 2, 1, '')",
        f"{TURN} VALUES (1, 1, 0, 0, 1, '')",
        "UPDATE calls SET call_type = 'party'",
        "UPDATE calls SET duration_seconds = -1",
        "UPDATE speakers SET company_side = 'press'",
        "UPDATE speakers SET call_id = 99",
        f"{SESSION} VALUES (1, 1, 'charm', 1, '')",
        f"{SESSION} VALUES (1, 1, 'discovery', 101, '')",
        f"{SESSION} VALUES (1, 7, 'discovery', 1, '')",
        "INSERT INTO transcript_imports (call_id, digest, file_name, format) VALUES (1, 'd', '', ''), (2, 'd', '', '')",
    ],
)
async def test_what_cannot_be_is_refused(make_tables: MakeTables, statement: str) -> None:
    """The database itself refuses rows that make no sense, a turn by another call's speaker among them."""
    connection = await asyncpg.connect(make_tables(DATA))
    try:
        await connection.execute("INSERT INTO reps (email, name) VALUES ('ann@example.com', 'Ann')")
        await connection.execute(
            "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('a', now(), 1), ('b', now(), 1)"
        )
        await connection.execute("INSERT INTO speakers (call_id, name, company_side) VALUES (1, 'Ann', 'rep')")
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_search_follows_the_text(make_tables: MakeTables) -> None:
    """The search vector is the text's, stemmed, without anybody having to keep it so."""
    connection = await asyncpg.connect(make_tables(DATA))
    found = "SELECT search @@ plainto_tsquery('english', $1) FROM transcripts"
    try:
        await connection.execute("INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('a', now(), 1)")
        await connection.execute("INSERT INTO speakers (call_id, name, company_side) VALUES (1, 'Ann', 'rep')")
        await connection.execute(
            "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text) "
            "VALUES (1, 1, 1, 0, 1, 'Pricing for two users')"
        )
        assert await connection.fetchval(found, "price user")
        await connection.execute("UPDATE transcripts SET text = 'Hello'")
        assert not await connection.fetchval(found, "price user")
    finally:
        await connection.close()
