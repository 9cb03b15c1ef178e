"""Random writes, many at once: each has the answer, and the table the rows, of plain INSERTs one after another."""

from __future__ import annotations

import asyncio

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.db.grouped_calls import CALL

from tailrace.db import Database

TABLE = """
CREATE TABLE calls (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int NOT NULL,
    minutes int NOT NULL CHECK (minutes < 5));
CREATE TABLE plainly (LIKE calls INCLUDING ALL)
"""
USERS = st.integers(-1, 3) | st.just(2**40)
MINUTES = st.sampled_from([0, 1, 1, 1, 2, 5, None])
WAVES = st.lists(st.lists(st.tuples(USERS, MINUTES), max_size=40), min_size=1, max_size=4)


def test_each_is_answered_as_if_it_were_alone(database_url: str) -> None:
    """Rows that a constraint refuses, rows that do not fit, and rows that are alike, in groups of any size."""
    with asyncio.Runner() as runner:
        plain = runner.run(asyncpg.connect(database_url))
        runner.run(plain.execute(TABLE))
        database = Database(database_url)

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(WAVES)
        def check(waves: list[list[tuple[int, int | None]]]) -> None:
            runner.run(plain.execute("TRUNCATE calls, plainly"))
            runner.run(_compare(database, plain, waves))

        try:
            check()
        finally:
            runner.run(database.aclose())
            runner.run(plain.close())


async def _compare(database: Database, plain: asyncpg.Connection, waves: list[list[tuple[int, int | None]]]) -> None:
    for wave in waves:
        expected = [await _plainly(plain, *values) for values in wave]
        assert await asyncio.gather(*(_grouped(database, *values) for values in wave)) == expected
    rows = "SELECT user_id, minutes FROM {} ORDER BY user_id, minutes"
    assert await plain.fetch(rows.format("calls")) == await plain.fetch(rows.format("plainly"))


PLAINLY = "INSERT INTO plainly (user_id, minutes) VALUES ($1::text::int, $2::text::int) RETURNING user_id, minutes"


async def _plainly(plain: asyncpg.Connection, user: int, minutes: int | None) -> object:
    try:  # the text that arrives, as JSON brings it
        return tuple(await plain.fetchrow(PLAINLY, str(user), None if minutes is None else str(minutes)))
    except asyncpg.PostgresError as error:
        return error.sqlstate


async def _grouped(database: Database, user: int, minutes: int | None) -> object:
    try:
        ((found, its_minutes),) = await database.write_grouped(CALL, {"user": user, "minutes": minutes})
    except Exception as error:
        causes = [error, error.__cause__, getattr(error.__cause__, "orig", None), getattr(error, "orig", None)]
        return next(state for cause in causes if (state := getattr(cause, "sqlstate", None)))
    return (found, its_minutes)
