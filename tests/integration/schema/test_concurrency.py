"""Writers at the same time: exact in the end, and no deadlocks on rollups."""

# ruff: noqa: E501, PT012 - statements stay on one line, and a block may set the scene for the one that fails

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest
from tests.integration.schema.world import drift, fill, moment
from tests.waiting import wait_until

from tailrace.schema import Declaration, Rollup, reconcile
from tailrace.schema.rollup_sql import folded_table

PASSING = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ForeignKeyViolationError,
    asyncpg.UniqueViolationError,
)


async def work(url: str, seed: int, turns: int, isolation: str) -> dict[str, int]:
    """Random writes to both tables; what PostgreSQL refuses for a passing reason is left undone."""
    chance = random.Random(seed)
    connection = await asyncpg.connect(url)
    outcomes: dict[str, int] = {}
    for _ in range(turns):
        call, lead, user = chance.randint(1, 30), chance.randint(1, 60), chance.randint(1, 3)
        statements = {
            "insert call": ("INSERT INTO calls (id, user_id, status, created_at) VALUES ($1, $2, 'completed', $3)", call, user, moment(call % 3 + 1)),
            "insert lead": ("INSERT INTO leads VALUES ($1, $2, 80, $3)", lead, call, moment(lead % 3 + 1)),
            "move call": ("UPDATE calls SET user_id = $2 WHERE id = $1", call, user),
            "finish calls": ("UPDATE calls SET status = 'failed' WHERE id BETWEEN $1 AND $1 + 3", call),
            "score": ("UPDATE leads SET score = 10, call_id = $2 WHERE id = $1", lead, call),
            "delete call": ("DELETE FROM calls WHERE id = $1", call),
            "delete lead": ("DELETE FROM leads WHERE id = $1", lead),
        }  # fmt: skip
        names = chance.sample(sorted(statements), chance.choice([1, 1, 2]))
        try:
            async with connection.transaction(isolation=isolation):
                for name in names:
                    await connection.execute(*statements[name])
            outcome = "committed"
        except PASSING as error:
            outcome = type(error).__name__
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    await connection.close()
    return outcomes


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read", "serializable"])
async def test_races_between_parents_and_children_end_exact(
    kept_url: str, connection: asyncpg.Connection, isolation: str
) -> None:
    """Calls move, leads appear and cascades run at once; every rollup still equals its rows."""
    others = ["read_committed", isolation, isolation, "read_committed", isolation]
    outcomes = await asyncio.gather(*(work(kept_url, seed, 120, level) for seed, level in enumerate(others)))
    assert sum(o.get("committed", 0) for o in outcomes) > 100
    assert await drift(connection) == {}


async def test_a_child_waits_for_its_parents_move(kept_url: str, connection: asyncpg.Connection) -> None:
    """A lead inserted while its call moves to another user is counted for the new one."""
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    mover, writer = await asyncpg.connect(kept_url), await asyncpg.connect(kept_url)
    transaction = mover.transaction()
    await transaction.start()
    await mover.execute("UPDATE calls SET user_id = 2 WHERE id = 1")
    insert = asyncio.create_task(writer.execute("INSERT INTO leads VALUES (1, 1, 99, now())"))
    await wait_until(
        lambda: connection.fetchval("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')")
    )
    await transaction.commit()
    await insert
    await mover.close()
    await writer.close()
    assert await connection.fetchval("SELECT user_id FROM leads_by_day WHERE hot = 1") == 2
    tags = {row["tag"] for row in await connection.fetch("SELECT tag FROM tailrace.outbox")}
    assert "leads:user_id=2" in tags
    assert await drift(connection) == {}


async def test_a_snapshot_that_misses_rows_may_not_move_a_parent(kept_url: str, connection: asyncpg.Connection) -> None:
    """Under REPEATABLE READ, a move that could overlook a lead is refused as a serialization failure."""
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    mover = await asyncpg.connect(kept_url)
    with pytest.raises(asyncpg.SerializationError, match="READ COMMITTED"):
        async with mover.transaction(isolation="repeatable_read"):
            await mover.fetch("SELECT * FROM leads")
            await connection.execute("INSERT INTO leads VALUES (1, 1, 99, now())")
            await mover.execute("UPDATE calls SET user_id = 2 WHERE id = 1")
    async with mover.transaction(isolation="repeatable_read"):
        await mover.execute("UPDATE calls SET note = 'unused columns may change' WHERE id = 1")
    await mover.close()
    assert await drift(connection) == {}


async def test_what_cannot_be_told_apart_is_refused(kept_url: str, connection: asyncpg.Connection) -> None:
    """The joining key of a parent stays, and one statement does not change both sides."""
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    await connection.execute("INSERT INTO leads VALUES (1, 1, 99, now())")
    for statement in (
        "UPDATE calls SET id = 2 WHERE id = 1",
        "WITH m AS (UPDATE calls SET user_id = 2 RETURNING id) INSERT INTO leads SELECT 2, id, 5, now() FROM m",
        "WITH m AS (UPDATE calls SET user_id = 2 RETURNING id) DELETE FROM leads WHERE call_id IN (SELECT id FROM m)",
        "WITH m AS (DELETE FROM leads RETURNING call_id) UPDATE calls SET user_id = 2 WHERE id IN (SELECT call_id FROM m)",
    ):
        with pytest.raises((asyncpg.FeatureNotSupportedError, asyncpg.ForeignKeyViolationError)):
            await connection.execute(statement)
    await connection.execute(
        "WITH m AS (UPDATE calls SET note = 'y' RETURNING id) UPDATE leads SET score = 1 WHERE call_id IN (SELECT id FROM m)"
    )
    async with connection.transaction():
        await connection.execute("UPDATE calls SET user_id = 3")
        await connection.execute("UPDATE leads SET score = 70")
    assert await drift(connection) == {}


async def test_multi_row_writes_in_opposite_orders_do_not_deadlock(
    kept_url: str, connection: asyncpg.Connection
) -> None:
    """Rollup rows are locked in key order, whatever the order of the rows that are written."""

    async def write(number: int) -> None:
        own = await asyncpg.connect(kept_url)
        for turn in range(25):
            first = 100_000 * number + 1000 * turn
            await own.execute(
                "INSERT INTO calls (id, user_id, status, created_at) SELECT $1 + g, g % 3 + 1, 'completed', "
                "timestamptz '2026-03-01Z' + (g % 40) * interval '1 hour' FROM generate_series(1, 120) g "
                f"ORDER BY g {'DESC' if number % 2 else ''}",
                first,
            )
        await own.close()

    await asyncio.gather(*(write(n) for n in range(1, 5)))
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_day") == 4 * 25 * 120
    assert await drift(connection) == {}


async def test_planted_drift_is_found_and_repaired_under_writers(
    kept_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """What was tampered with is named and mended while others write; a second look finds nothing."""
    await fill(connection, 1500)
    table = {o.name: folded_table(o) for o in objects if isinstance(o, Rollup)}
    await connection.execute(
        f"SELECT tailrace.fold(1000000); UPDATE {table['calls_by_day']} SET calls = calls + 5 WHERE user_id = 1; "
        f"DELETE FROM {table['calls_by_hour']} WHERE user_id = 2; "
        f"INSERT INTO {table['leads_by_day']} VALUES (3, '2030-01-01', 'ghost', 1, 1, 1, 1)"
    )
    assert await drift(connection) != {}
    done = asyncio.Event()

    async def write() -> None:
        own = await asyncpg.connect(kept_url)
        turn = 0
        while not done.is_set():
            turn += 1
            await own.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES ($1, $2, 'x', $3)",
                              5000 + turn, turn % 3 + 1, moment(turn % 28 + 1))  # fmt: skip
            await own.execute("UPDATE calls SET user_id = user_id % 3 + 1 WHERE id = $1", turn)
        await own.close()

    writer = asyncio.create_task(write())
    checked = {d.rollup: d for d in await reconcile(kept_url, objects)}
    assert checked["public.calls_by_day"].keys > 0
    assert checked["public.completed_in_berlin"].keys == 0
    assert not any(d.repaired for d in checked.values())
    assert all(len(d.examples) <= 20 for d in checked.values())
    repaired = {d.rollup: d.repaired for d in await reconcile(kept_url, objects, repair=True)}
    done.set()
    await writer
    assert repaired["public.leads_by_day"]
    assert await drift(connection) == {}
    assert [d.keys for d in await reconcile(kept_url, objects)] == [0, 0, 0, 0]
    assert await connection.fetchval("SELECT count(*) FROM leads_by_day WHERE status = 'ghost'") == 0
