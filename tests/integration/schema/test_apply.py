"""plan and apply: idempotent, dry, resumable, alone."""

# ruff: noqa: E501, PT012 - statements stay on one line, and a block may set the scene for the one that fails

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest
from tests.integration.schema.world import BY_DAY, RECENT, ROLLUPS, WATCHES, calls, drift, fill, moment
from tests.waiting import wait_until

from tailrace.errors import DatabaseTimeoutError, DatabaseUnavailableError, SchemaError
from tailrace.schema import (
    Declaration,
    Index,
    Patience,
    Progress,
    Rollup,
    Watch,
    apply,
    count,
    plan,
    ready_rollups,
    status,
)
from tailrace.schema.backfill import Backfill

EVERYTHING = """
SELECT count(*) FROM (SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_proc UNION ALL SELECT oid FROM pg_trigger
UNION ALL SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg_%temp%') x
"""
QUICK = Patience(lock_timeout=0.05, attempts=3, max_delay=0.01)


async def test_a_dry_run_changes_nothing(
    tables_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """It says what it would do, and does none of it."""
    before = await connection.fetchval(EVERYTHING)
    found = await apply(tables_url, objects, dry_run=True)
    assert {step.kind for step in found.steps} == {"installation", "triggers", "rollup", "index"}
    assert await connection.fetchval(EVERYTHING) == before
    assert "CREATE TABLE" in found.render(sql=True)


async def test_applying_twice_does_nothing(
    tables_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """The second run finds nothing to do and touches nothing."""
    assert (await apply(tables_url, objects)).steps
    installation = await connection.fetchrow("SELECT * FROM tailrace.installation")
    before = await connection.fetchval("SELECT array_agg(xmin::text ORDER BY kind, name) FROM tailrace.objects")
    assert not await apply(tables_url, objects)
    assert await connection.fetchval("SELECT array_agg(xmin::text ORDER BY kind, name) FROM tailrace.objects") == before
    assert await connection.fetchrow("SELECT * FROM tailrace.installation") == installation
    assert len(installation["secret"]) == 32


async def test_two_runs_at_once_queue(tables_url: str, objects: list[Declaration]) -> None:
    """Two processes that start together both succeed, and one of them has nothing left to do."""
    plans = await asyncio.gather(*(apply(tables_url, objects) for _ in range(3)))
    assert sorted(bool(p) for p in plans) == [False, False, True], "\n\n".join(p.render() for p in plans)


async def test_backfill_counts_what_was_there(
    tables_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """Rows from before the triggers are counted, and progress reaches its end for each phase."""
    await fill(connection, 3000)
    told: list[Progress] = []
    await apply(tables_url, objects, progress=told.append)
    assert await drift(connection) == {}
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_day") == 3000
    last = {(p.name, p.phase): p for p in told}
    assert all(p.done == p.total for p in last.values())
    assert {name for name, phase in last if phase == "merge"} == {f"public.{r.name}" for r in ROLLUPS}
    assert await connection.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^(staging|merging)'") == 0


async def test_backfill_under_writers_is_exact(
    tables_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """Writers that run before, during and after the build change nothing about the result."""
    await fill(connection, 4000)
    done = asyncio.Event()

    async def write(number: int) -> int:
        own = await asyncpg.connect(tables_url)
        turns = 0
        while not done.is_set():
            key = 10_000 * (number + 1) + turns
            await own.execute("INSERT INTO calls (id, user_id, status, minutes, created_at) VALUES ($1, $2, 'completed', 1, $3)",
                              key, number % 3 + 1, moment(turns % 28 + 1))  # fmt: skip
            await own.execute("INSERT INTO leads VALUES ($1, $1, 90, $2)", key, moment(turns % 28 + 1))
            await own.execute("UPDATE calls SET user_id = user_id % 3 + 1 WHERE id = $1", 4 * turns + number + 1)
            await own.execute("DELETE FROM calls WHERE id = $1", 4 * turns + 3 - number)
            turns += 1
        await own.close()
        return turns

    writers = [asyncio.create_task(write(n)) for n in range(3)]
    await wait_until(lambda: connection.fetchval("SELECT count(*) > 4020 FROM calls"))
    await apply(tables_url, objects)
    done.set()
    assert min(await asyncio.gather(*writers)) > 5
    assert await drift(connection) == {}


async def test_a_killed_build_is_not_read_and_starts_again(
    tables_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, objects: list[Declaration]
) -> None:
    """A build that dies halfway leaves its rollup unready; the next apply makes it whole."""
    await fill(connection, 2000)

    async def die(self: Backfill, own: asyncpg.Connection) -> None:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace schema'"
        )
        await own.execute("SELECT 1")

    with monkeypatch.context() as patched:
        patched.setattr(Backfill, "_merge", die)
        with pytest.raises(DatabaseUnavailableError):
            await apply(tables_url, objects)
    states = {o["name"]: o["state"] for o in await status(tables_url) if o["kind"] == "rollup"}
    assert set(states.values()) == {"building"}
    assert await ready_rollups(tables_url) == frozenset()
    await connection.execute("UPDATE calls SET user_id = 3 WHERE id < 100")
    found = await apply(tables_url, objects)
    assert {s.reason for s in found.steps if s.kind == "rollup"} == {"a build was interrupted"}
    assert await drift(connection) == {}
    assert len(await ready_rollups(tables_url)) == len(ROLLUPS)


async def test_a_busy_table_is_tried_again_and_then_given_up(tables_url: str, connection: asyncpg.Connection) -> None:
    """A long transaction on the table stops apply, not the writers behind it; nothing is left half done."""
    other = await asyncpg.connect(tables_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    with pytest.raises(DatabaseTimeoutError, match="3 attempts"):
        await apply(tables_url, [*WATCHES, BY_DAY], patience=QUICK)
    assert await connection.fetchval("SELECT to_regclass('calls_by_day')") is None
    await transaction.commit()
    await other.close()
    await apply(tables_url, [*WATCHES, BY_DAY], patience=QUICK)
    assert await connection.fetchval("SELECT calls FROM calls_by_day") == 1


async def test_a_changed_definition_is_built_again(
    kept_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """Another meaning is another table: built from the rows, kept by new triggers."""
    await fill(connection, 500)
    before = next(o for o in objects if o.name == BY_DAY.name)
    changed = replace(before, measures={"calls": count(where=calls.c.status == "failed")})
    others = [o for o in objects if o is not before]
    found = await apply(kept_url, [*others, changed])
    assert ("public.calls_by_day", "its definition changed") in {(s.name, s.reason) for s in found.steps}
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (9999, 1, 'failed', now())")
    live = await connection.fetchval("SELECT count(*) FROM calls WHERE status = 'failed'")
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_day") == live


@pytest.mark.parametrize(
    "harm",
    [
        "ALTER TABLE calls DISABLE TRIGGER tailrace_insert",
        "DROP TRIGGER tailrace_delete ON calls",
        "ALTER TABLE calls ENABLE REPLICA TRIGGER tailrace_update",
        'CREATE OR REPLACE FUNCTION tailrace."public.calls insert"() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$',
    ],
)
async def test_harm_done_to_triggers_is_found_and_mended(
    kept_url: str, connection: asyncpg.Connection, harm: str, objects: list[Declaration]
) -> None:
    """The database is compared, not only remembered."""
    await connection.execute(harm)
    found = await apply(kept_url, objects)
    assert [(s.kind, s.name) for s in found.steps] == [("triggers", "public.calls")]
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    await connection.execute("UPDATE calls SET user_id = 2; DELETE FROM calls")
    assert await drift(connection) == {}
    assert not await plan(kept_url, objects)


async def test_what_is_no_longer_declared_goes_only_when_asked(
    kept_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """Without prune it is listed, and a rollup that is no longer kept says so; with prune nothing of it remains."""
    found = await apply(kept_url, WATCHES)
    assert {s.name for s in found.unneeded} == {f"public.{r.name}" for r in ROLLUPS} | {"public.calls_recent"}
    assert await ready_rollups(kept_url) == frozenset()
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    await apply(kept_url, [], prune=True)
    assert await status(kept_url) == []
    left = "SELECT count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid WHERE p.pronamespace = 'tailrace'::regnamespace"
    assert await connection.fetchval(left) == 0
    left = (
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'tailrace'::regnamespace AND relname ~ '^(deltas|folded) '"
    )
    assert await connection.fetchval(left) == 0
    assert await connection.fetchval(
        "SELECT to_regclass('calls_by_day') IS NULL AND to_regclass('calls_recent') IS NULL"
    )
    await apply(kept_url, objects)
    assert await drift(connection) == {}


async def test_an_interrupted_index_is_built_again(
    kept_url: str, connection: asyncpg.Connection, objects: list[Declaration]
) -> None:
    """What a cancelled build left is dropped, and the index is whole in the end."""
    index = Index("calls_by_status", calls, ["status", calls.c.created_at.desc()])
    holder = await asyncpg.connect(kept_url)
    transaction = holder.transaction(isolation="repeatable_read")
    await transaction.start()
    await holder.execute("UPDATE calls SET note = 'x'")
    build = asyncio.create_task(apply(kept_url, [*objects, index], patience=Patience(attempts=1)))
    await wait_until(
        lambda: connection.fetchval("SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'calls_by_status')")
    )
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index")
    with pytest.raises(DatabaseUnavailableError):
        await build
    await transaction.rollback()
    await holder.close()
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'calls_by_status'::regclass"
    assert await connection.fetchval(valid) is False
    found = await apply(kept_url, [*objects, index])
    assert [(s.kind, s.action, s.reason) for s in found.steps] == [("index", "rebuild", "a build was interrupted")]
    assert await connection.fetchval(valid) is True


async def test_strangers_are_not_touched(tables_url: str, connection: asyncpg.Connection) -> None:
    """A table or index of the wanted name that is somebody else's stops apply."""
    await connection.execute("CREATE TABLE calls_by_day (x int); CREATE INDEX calls_recent ON calls (id)")
    for item in (BY_DAY, RECENT):
        with pytest.raises(SchemaError, match="not Tailrace's"):
            await apply(tables_url, [item])


async def test_tables_that_cannot_be_watched_are_refused(tables_url: str, connection: asyncpg.Connection) -> None:
    """Writes to a partition or a child table fire no statement trigger of the parent."""
    with pytest.raises(SchemaError, match="needs a foreign key"):
        await connection.execute("ALTER TABLE leads DROP CONSTRAINT leads_call_id_fkey")
        await plan(tables_url, ROLLUPS)
    await connection.execute("CREATE TABLE more () INHERITS (calls)")
    with pytest.raises(SchemaError, match="inheritance"):
        await plan(tables_url, [Watch(calls)])
    await connection.execute("DROP TABLE more, calls CASCADE")
    with pytest.raises(SchemaError, match="migrations"):
        await plan(tables_url, [Watch(calls)])


def test_a_rollup_declared_twice_is_refused() -> None:
    """Two definitions of one table cannot both be kept."""
    from tailrace.schema.catalogue import Catalogue
    from tailrace.schema.planner import make_plan

    nothing = Catalogue(False, {}, {}, {}, {}, frozenset(), frozenset())
    with pytest.raises(SchemaError, match="declared twice"):
        make_plan(nothing, [BY_DAY, Rollup("calls_by_day", calls, {}, time=calls.c.created_at, grain="day",
                                           measures={"n": count()}, leading=0)])  # fmt: skip
