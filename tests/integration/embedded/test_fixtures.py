"""The servers that every other test is given."""

from __future__ import annotations

import asyncpg

from tailrace.embedded import ValkeyServer


async def test_database_is_new_and_empty(database_url: str) -> None:
    """Every test gets a database of its own with nothing in it."""
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        await connection.execute("CREATE TABLE leftover ()")
        assert tables == 0
    finally:
        await connection.close()


async def test_database_of_another_test_is_not_seen(database_url: str) -> None:
    """What the test before created is gone."""
    await test_database_is_new_and_empty(database_url)


def test_valkey_is_emptied_first(valkey: ValkeyServer, valkey_url: str) -> None:
    """Every test finds Valkey empty."""
    assert valkey.execute("DBSIZE") == "0"
    assert valkey_url == valkey.url
    valkey.execute("SET", "leftover", "1")


def test_valkey_of_another_test_is_not_seen(valkey: ValkeyServer, valkey_url: str) -> None:
    """What the test before wrote is gone."""
    test_valkey_is_emptied_first(valkey, valkey_url)
