"""A database with one watched table."""

from __future__ import annotations

from importlib.resources import files

import asyncpg
import pytest

TABLE = """
CREATE TABLE calls (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int NOT NULL, minutes int NOT NULL);
CREATE FUNCTION tag_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tailrace.outbox (tag) SELECT DISTINCT 'calls:user_id=' || user_id FROM changed;
    RETURN NULL;
END $$;
CREATE TRIGGER tag_insert AFTER INSERT ON calls REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
CREATE TRIGGER tag_delete AFTER DELETE ON calls REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION tag_calls();
"""


@pytest.fixture
async def watched(database_url: str) -> str:
    """The address of a database whose ``calls`` writes tags for each user."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
        await connection.execute(TABLE)
    finally:
        await connection.close()
    return database_url
