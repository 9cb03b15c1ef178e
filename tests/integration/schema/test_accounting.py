"""What single statements add to a rollup and take from it, by their number of rows."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import Column, DateTime, Integer, MetaData, Numeric, Table
from tests.integration.schema.world import ROLLUPS, drift

from tailrace.errors import SchemaError
from tailrace.schema import Declaration, Rollup, Watch, apply, sum_
from tailrace.schema.declarations import Maintenance

readings = Table(
    "readings",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("amount", Numeric),
    Column("taken_at", DateTime(timezone=True)),
)
BY_DAY = Rollup("readings_by_day", readings, {}, time=readings.c.taken_at, grain="day",
                measures={"amount": sum_(readings.c.amount)}, leading=0)  # fmt: skip


@pytest.fixture
def readings_kept(maintenance: Maintenance) -> list[Declaration]:
    """The readings and their rollup, kept in one way."""
    return [Watch(readings), replace(BY_DAY, maintenance=maintenance)]


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
async def test_any_number_of_rows(kept_url: str, connection: asyncpg.Connection, rows: int) -> None:
    """Inserted, changed and deleted: none, one (which has statements of its own), or several at once."""
    await connection.execute(
        "INSERT INTO calls SELECT g, g, nullif(g, 1), 'completed', nullif(g, 2) * 0.5, timestamptz '2026-03-01 23:59Z' + g * interval '1 minute' "
        "FROM generate_series(1, $1) g", rows,
    )  # fmt: skip
    await connection.execute("INSERT INTO leads SELECT g, g, 70 - g, '2026-03-01Z' FROM generate_series(1, $1) g", rows)
    assert await connection.fetchval("SELECT coalesce(sum(calls), 0) FROM calls_by_hour") == rows
    assert await drift(connection) == {}
    await connection.execute("UPDATE calls SET status = 'failed', minutes = 3, user_id = 1")
    assert await drift(connection) == {}
    await connection.execute("DELETE FROM leads WHERE id <= $1", rows - 1)
    assert await drift(connection) == {}
    await connection.execute("DELETE FROM calls")
    assert await drift(connection) == {}
    for rollup in ROLLUPS:
        left = " OR ".join(f"sum({stored.column}) <> 0" for stored in rollup.stored)
        keys = ", ".join(rollup.key)
        assert await connection.fetch(f"SELECT {keys} FROM {rollup.name} GROUP BY {keys} HAVING {left}") == []


@pytest.mark.parametrize("time", ["NULL", "'infinity'"])
async def test_a_row_on_no_day_counts_nowhere(
    database_url: str, connection: asyncpg.Connection, time: str, readings_kept: list[Declaration]
) -> None:
    """Whether it comes alone or with others."""
    await connection.execute("CREATE TABLE readings (id int PRIMARY KEY, amount numeric, taken_at timestamptz)")
    await apply(database_url, readings_kept)
    await connection.execute(f"INSERT INTO readings VALUES (1, 5, {time})")
    await connection.execute(f"INSERT INTO readings VALUES (2, 5, {time}), (3, 7, now())")
    await connection.execute("DELETE FROM readings WHERE id = 1")
    assert await connection.fetch("SELECT amount FROM readings_by_day") == [(7,)]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity"])
async def test_what_could_never_be_taken_away_again_is_refused(
    database_url: str, connection: asyncpg.Connection, amount: str, readings_kept: list[Declaration]
) -> None:
    """A sum that has swallowed an infinity stays one: such a row is refused, alone, among others, or by an UPDATE."""
    await connection.execute("CREATE TABLE readings (id int PRIMARY KEY, amount numeric, taken_at timestamptz)")
    await connection.execute("INSERT INTO readings VALUES (1, 5, now())")
    await apply(database_url, readings_kept)
    for statement in (
        f"INSERT INTO readings VALUES (2, '{amount}', now())",
        f"INSERT INTO readings VALUES (2, '{amount}', now()), (3, 1, now())",
        f"UPDATE readings SET amount = '{amount}'",
    ):
        with pytest.raises(asyncpg.NotNullViolationError, match="amount"):
            await connection.execute(statement)
    assert await connection.fetchval("SELECT amount FROM readings_by_day") == 5


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
async def test_rows_that_cannot_be_summed_stop_the_building(
    database_url: str, connection: asyncpg.Connection, amount: str, readings_kept: list[Declaration]
) -> None:
    """A table that holds an infinity already gets no rollup that passes over it."""
    await connection.execute("CREATE TABLE readings (id int PRIMARY KEY, amount numeric, taken_at timestamptz)")
    await connection.execute(f"INSERT INTO readings VALUES (1, '{amount}', now()), (2, 1, now())")
    with pytest.raises(SchemaError, match="amount"):
        await apply(database_url, readings_kept)
