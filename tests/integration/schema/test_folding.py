"""Folding differences: readers never see one twice or not at all, whatever becomes of those who fold."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.integration.schema.world import BY_DAY, BY_HOUR, ROLLUPS, WATCHES, declared, drift, fill
from tests.waiting import wait_until

from tailrace.db import Folder, folding
from tailrace.schema import Rollup, apply, plan, reconcile, status
from tailrace.schema.declarations import Maintenance
from tailrace.schema.delta_log import logs_of
from tailrace.schema.rollup_sql import folded_table
from tailrace.settings import DatabaseSettings

ROOT = Path(__file__).parents[3]
DELTAS = declared("deltas")
KEPT = [o for o in DELTAS if isinstance(o, Rollup)]
WAITING = " + ".join(f"(SELECT count(*) FROM {log.table})" for log in logs_of(KEPT))
FOLDED = f"SELECT coalesce(sum(calls), 0) FROM {folded_table(next(r for r in KEPT if r.name == 'calls_by_day'))}"
WRITER = """
import asyncio, itertools, sys, asyncpg
async def main(url, first):
    connection = await asyncpg.connect(url)
    for n in itertools.count(first):
        async with connection.transaction():
            await connection.execute("INSERT INTO calls (id, user_id, status, minutes, created_at) VALUES ($1, $2, 'completed', 1, now())", n, n % 3 + 1)
            await connection.execute("INSERT INTO calls (id, user_id, status, minutes, created_at) VALUES ($1, 1, 'failed', 1, now())", -n)
        if n % 3 == 0:
            await connection.execute("DELETE FROM calls WHERE id IN ($1, $2)", n, -n)
        if await connection.fetchval("SELECT to_regclass('enough') IS NOT NULL"):
            break
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
FOLDER = """
import asyncio, sys, asyncpg
async def main(url):
    connection = await asyncpg.connect(url)
    print(connection.get_server_pid(), flush=True)
    while True:
        if await connection.fetchval("SELECT tailrace.fold(7)"):
            print("folded", flush=True)
asyncio.run(main(sys.argv[1]))
"""

FOLDING = """
import asyncio, sys
from tailrace.db import Folder
async def main(url):
    Folder(url).start()
    await asyncio.Event().wait()
asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def maintenance() -> Maintenance:
    """Rollups are kept by differences."""
    return "deltas"


def program(text: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)])


async def kill_folders(url: str, times: int) -> None:
    """Let a process fold, and end its connection when it has folded something: again and again."""
    killer = await asyncpg.connect(url)
    for _ in range(times):
        folder = await asyncio.create_subprocess_exec(sys.executable, "-c", FOLDER, url, stdout=PIPE, stderr=DEVNULL)
        assert folder.stdout is not None
        try:
            pid = int(await folder.stdout.readline())
            assert await folder.stdout.readline() == b"folded\n"
            assert await killer.fetchval("SELECT pg_terminate_backend($1)", pid)
            await folder.communicate()
        finally:
            if folder.returncode is None:
                folder.kill()
                await folder.communicate()
    await killer.close()


async def test_readers_beside_writers_and_folders_never_miss_a_difference(
    kept_url: str, connection: asyncpg.Connection
) -> None:
    """Several processes write pairs of calls, two fold, each is killed again and again: every sum is even and true."""
    writers = [program(WRITER, kept_url, 1 + 1_000_000 * n) for n in range(3)]
    killing = asyncio.gather(*(kill_folders(kept_url, 2) for _ in range(2)))
    looks = 0
    try:
        while not killing.done() or looks <= 5:
            row = await connection.fetchrow(
                "SELECT (SELECT coalesce(sum(calls), 0) FROM calls_by_day), (SELECT coalesce(sum(calls), 0) FROM calls_by_hour), (SELECT count(*) FROM calls)"
            )
            assert row[0] == row[1] == row[2]
            assert row[0] % 2 == 0
            looks += 1
        await killing
        assert [writer.poll() for writer in writers] == [None] * 3, "they have written all the time"
        await connection.execute("CREATE TABLE enough ()")
        assert [await asyncio.to_thread(writer.wait) for writer in writers] == [0] * 3
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
        for writer in writers:
            writer.kill()
            writer.wait()
    assert await drift(connection) == {}
    while await connection.fetchval("SELECT tailrace.fold(1000)") != 0:
        pass
    assert await connection.fetchval(f"SELECT {WAITING}") == 0
    assert await drift(connection) == {}


@dataclass(frozen=True)
class Held:
    """Differences that wait, and somebody who holds a row that they are to be added to: a fold stops half-way there."""

    holder: asyncpg.Connection
    waiting: int

    @staticmethod
    async def at(url: str, connection: asyncpg.Connection) -> Held:
        await fill(connection, 200)
        await connection.execute("SELECT tailrace.fold(1000000)")
        await connection.execute("UPDATE calls SET minutes = 5")
        waiting = await connection.fetchval(f"SELECT {WAITING}")
        assert waiting > 0
        holder = await asyncpg.connect(url)
        await holder.execute("BEGIN")
        await holder.execute(f"SELECT FROM {folded_table(KEPT[1])} FOR UPDATE")
        return Held(holder, waiting)

    @staticmethod
    async def reached(connection: asyncpg.Connection) -> None:
        """A fold has come to the row, its differences already deleted."""
        stopped = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%fold%')"
        await wait_until(lambda: connection.fetchval(stopped))


async def test_a_fold_that_is_killed_leaves_everything_as_it_was(kept_url: str, connection: asyncpg.Connection) -> None:
    """It waits for a row somebody holds, its connection is ended there: nothing is lost, and nothing counted twice."""
    held = await Held.at(kept_url, connection)
    folder = await asyncpg.connect(kept_url)
    folding = asyncio.create_task(folder.fetchval("SELECT tailrace.fold(1000000)"))
    await held.reached(connection)
    assert await connection.fetchval("SELECT tailrace.fold(1)") is None, "a second one does not wait"
    assert await drift(connection) == {}
    await connection.execute("SELECT pg_terminate_backend($1)", folder.get_server_pid())
    with pytest.raises(asyncpg.PostgresConnectionError):
        await folding
    await held.holder.close()
    assert await connection.fetchval(f"SELECT {WAITING}") == held.waiting
    assert await connection.fetchval("SELECT tailrace.fold(1000000)") == held.waiting
    assert await drift(connection) == {}


async def test_a_process_killed_in_mid_fold_loses_nothing(kept_url: str, connection: asyncpg.Connection) -> None:
    """kill -9: whatever becomes of its fold, every difference counts once, and the next process folds what is left."""
    held = await Held.at(kept_url, connection)
    process = program(FOLDING, kept_url)
    try:
        await held.reached(connection)
    finally:
        process.kill()
        process.wait()
    assert await drift(connection) == {}
    await held.holder.close()
    folder = Folder(kept_url)
    folder.start()
    try:
        await wait_until(lambda: connection.fetchval(f"SELECT {WAITING} = 0"))
    finally:
        await folder.aclose()
    assert await drift(connection) == {}
    assert await connection.fetchval(FOLDED) == 200


async def test_a_server_that_crashes_in_mid_fold_loses_nothing(kept_url: str, connection: asyncpg.Connection) -> None:
    """kill -9 of the server's own process: all are thrown out, and after recovery the differences wait as before."""
    held = await Held.at(kept_url, connection)
    folder = await asyncpg.connect(kept_url)
    folding = asyncio.create_task(folder.fetchval("SELECT tailrace.fold(1000000)"))
    await held.reached(connection)
    os.kill(folder.get_server_pid(), signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await folding
    await wait_until(lambda: connection.is_closed() and held.holder.is_closed())

    async def recovered() -> bool:
        try:
            again = await asyncpg.connect(kept_url)
        except (asyncpg.PostgresError, OSError):
            return False
        await again.close()
        return True

    await wait_until(recovered)
    after = await asyncpg.connect(kept_url)
    try:
        assert await after.fetchval(f"SELECT {WAITING}") == held.waiting
        assert await drift(after) == {}
        assert await after.fetchval("SELECT tailrace.fold(1000000)") == held.waiting
        assert await drift(after) == {}
    finally:
        await after.close()


async def test_the_background_task_folds(kept_url: str, connection: asyncpg.Connection) -> None:
    """Whatever is written while it runs is folded, also after its connection was lost; two of them do not quarrel."""
    folders = [Folder(kept_url), Folder(kept_url)]
    for folder in folders:
        folder.start()
    try:
        await fill(connection, 100)
        await wait_until(lambda: connection.fetchval(f"SELECT {WAITING} = 0"))
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace-fold'"
        )
        await connection.execute("UPDATE calls SET minutes = 5")
        await wait_until(lambda: connection.fetchval(f"SELECT {WAITING} = 0"))
        assert await connection.fetchval(FOLDED) == 100
        assert await drift(connection) == {}
    finally:
        for folder in folders:
            await folder.aclose()


async def test_what_was_folded_is_cleared_away(
    kept_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task vacuums a log after so many differences: readers need not pass over the dead ones."""
    monkeypatch.setattr(folding, "DEAD", 10)
    folder = Folder(kept_url)
    folder.start()
    try:
        await fill(connection, 100)
        vacuumed = "SELECT count(*) > 0 FROM pg_stat_user_tables WHERE relname LIKE 'deltas %' AND vacuum_count > 0"
        await wait_until(lambda: connection.fetchval(vacuumed))
    finally:
        await folder.aclose()
    assert folder.problem is None


async def test_a_round_that_takes_too_long_is_made_smaller(kept_url: str, connection: asyncpg.Connection) -> None:
    """A statement timeout that a great backlog exceeds does not keep it from being folded for ever."""
    await fill(connection, 100)
    folder = Folder(kept_url, settings=DatabaseSettings(statement_timeout=0.2))
    holder = await asyncpg.connect(kept_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute(f"LOCK TABLE {', '.join(log.table for log in logs_of(KEPT))}")
    folder.start()
    try:
        await wait_until(lambda: folder._most < folding.MOST)
        assert folder.problem is not None
        await transaction.rollback()
        await wait_until(lambda: connection.fetchval(f"SELECT {WAITING} = 0"))
        await wait_until(lambda: folder.problem is None)
    finally:
        await folder.aclose()
        await holder.close()
    assert await drift(connection) == {}


async def test_a_connection_that_breaks_inside_the_driver_is_made_again(
    kept_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg raises some errors past SQLAlchemy; folding goes on over another connection all the same."""
    folder = Folder(kept_url)
    fold_for_now, broken = folder._fold_for_now, asyncio.Event()

    async def break_once(given: AsyncConnection) -> bool:
        if not broken.is_set():
            broken.set()
            raise asyncpg.InternalClientError("got result for unknown protocol state 3")
        return await fold_for_now(given)

    monkeypatch.setattr(folder, "_fold_for_now", break_once)
    folder.start()
    try:
        await broken.wait()
        await fill(connection, 100)
        await wait_until(lambda: connection.fetchval(f"SELECT {WAITING} = 0"))
    finally:
        await folder.aclose()


async def test_a_database_without_logs_is_left_alone(tables_url: str, connection: asyncpg.Connection) -> None:
    """Nothing to fold, or nothing installed: no connection is kept, and nobody complains."""
    folder = Folder(tables_url)
    folder.start()
    try:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tailrace-fold'"
        await wait_until(lambda: _is_zero(connection, count))
        assert folder.problem is None
    finally:
        await folder.aclose()


async def _is_zero(connection: asyncpg.Connection, query: str) -> bool:
    return bool(await connection.fetchval(query) == 0)


async def test_one_write_costs_one_row_for_all_rollups(kept_url: str, connection: asyncpg.Connection) -> None:
    """The rollups of calls that count the same rows share a log; several rows of one key become one difference."""
    logs = {log.table: {r.name for r in log.rollups} for log in logs_of(KEPT)}
    (shared,) = [table for table, names in logs.items() if names == {"calls_by_day", "calls_by_hour"}]
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'completed', now())")
    assert await connection.fetchval(f"SELECT count(*) FROM {shared}") == 1
    await connection.execute(
        "INSERT INTO calls (id, user_id, status, created_at) SELECT g, 2, 'x', now() FROM generate_series(2, 50) g"
    )
    assert await connection.fetchval(f"SELECT count(*) FROM {shared}") == 2
    await connection.execute("UPDATE calls SET note = 'of no concern'")
    assert await connection.fetchval(f"SELECT count(*) FROM {shared}") == 2
    await connection.execute("TRUNCATE calls CASCADE")
    assert await connection.fetchval(f"SELECT {WAITING}") == 0


@pytest.mark.parametrize(("before", "after"), [("immediate", "deltas"), ("deltas", "immediate")])
async def test_the_way_of_keeping_can_be_changed(
    tables_url: str, connection: asyncpg.Connection, before: str, after: str
) -> None:
    """It is a planned step, and the figures stay exact while others write."""
    await apply(tables_url, declared(before))  # type: ignore[arg-type]
    await fill(connection, 500)
    done = asyncio.Event()

    async def write() -> None:
        own = await asyncpg.connect(tables_url)
        number = 10_000
        while not done.is_set():
            number += 1
            await own.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES ($1, 1, 'x', now())", number)
        await own.close()

    writer = asyncio.create_task(write())
    wanted = declared(after)  # type: ignore[arg-type]
    found = await plan(tables_url, wanted)
    assert {(s.name, s.action) for s in found.steps if s.kind == "rollup"} == {
        (f"public.{r.name}", "rebuild") for r in ROLLUPS
    }
    await apply(tables_url, wanted)
    done.set()
    await writer
    assert await drift(connection) == {}
    assert not await plan(tables_url, wanted)
    kind = "SELECT relkind::text FROM pg_class WHERE oid = 'calls_by_day'::regclass"
    assert await connection.fetchval(kind) == ("v" if after == "deltas" else "r")


async def test_another_rollup_joins_a_log_that_is_in_use(kept_url: str, connection: asyncpg.Connection) -> None:
    """What waited is folded first: the new one is built from the rows, the others are neither read twice nor rebuilt."""
    await fill(connection, 300)
    fewer = [*WATCHES, *(r for r in KEPT if r.name == "calls_by_day")]
    await apply(kept_url, fewer, prune=True)
    await connection.execute("UPDATE calls SET minutes = 7 WHERE id <= 100")
    found = await apply(kept_url, DELTAS)
    assert "public.calls_by_day" not in {s.name for s in found.steps}
    await connection.execute("UPDATE calls SET minutes = 8 WHERE id > 200")
    assert await drift(connection) == {}
    await connection.execute("SELECT tailrace.fold(1000000)")
    assert await drift(connection) == {}
    names = "SELECT count(*) FROM pg_class WHERE relnamespace = 'tailrace'::regnamespace AND relname LIKE 'deltas %' AND relkind = 'r'"
    assert await connection.fetchval(names) == len(logs_of(KEPT))


async def test_a_rollup_no_longer_declared_does_not_stop_the_others(
    kept_url: str, connection: asyncpg.Connection
) -> None:
    """It keeps its view and is abandoned; those that shared its log are folded on, and removing it leaves nothing."""
    await fill(connection, 100)
    rest = [o for o in DELTAS if o.name != "calls_by_hour"]
    changed = [replace(o, leading=0) if o.name == "calls_by_day" else o for o in rest]
    await apply(kept_url, changed)
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_hour") == 100
    await connection.execute("DELETE FROM calls WHERE id <= 10")
    assert await connection.fetchval("SELECT tailrace.fold(1000000)") > 0
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_day") == 90
    await apply(kept_url, changed, prune=True)
    assert await connection.fetchval("SELECT to_regclass('calls_by_hour') IS NULL")
    names = "SELECT count(*) FROM pg_class WHERE relnamespace = 'tailrace'::regnamespace AND relname LIKE 'deltas %' AND relkind = 'r'"
    kept = [o for o in changed if isinstance(o, Rollup)]
    assert await connection.fetchval(names) == len(logs_of(kept))
    await connection.execute("DELETE FROM calls WHERE id <= 20")
    assert await connection.fetchval("SELECT tailrace.fold(1000000)") > 0
    assert await connection.fetchval("SELECT sum(calls) FROM calls_by_day") == 80


async def test_a_view_that_was_dropped_is_built_again(kept_url: str, connection: asyncpg.Connection) -> None:
    """The database is compared: a missing view, table or log is found, and what shares the log keeps its figures."""
    await fill(connection, 100)
    for harm in ("DROP VIEW calls_by_day", f"DROP VIEW calls_by_day; DROP TABLE {folded_table(KEPT[1])}"):
        await connection.execute(harm)
        await connection.execute("UPDATE calls SET minutes = minutes + 1")
        found = await apply(kept_url, DELTAS)
        assert [s.name for s in found.steps] == ["public.calls_by_day"]
        assert await drift(connection) == {}
    assert not await plan(kept_url, DELTAS)


async def test_what_waits_is_shown_and_reconciling_folds_it(kept_url: str, connection: asyncpg.Connection) -> None:
    """``status`` says how many differences wait; after ``reconcile`` none do, and no figure has drifted."""
    await fill(connection, 50)
    waiting = {o["name"]: o["pending"] for o in await status(kept_url)}
    assert waiting["public.calls_by_day"] == waiting["public.calls_by_hour"] > 0
    assert waiting["public.calls"] is None
    command = [sys.executable, "-m", "tailrace.cli", "schema", "status", "--database-url", kept_url]
    told = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, cwd=ROOT, check=True)
    assert {o["name"]: o["pending"] for o in json.loads(told.stdout)} == waiting
    assert "differences to fold" in subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert [d.keys for d in await reconcile(kept_url, DELTAS)] == [0, 0, 0, 0]
    assert {o["pending"] for o in await status(kept_url)} == {0, None}


async def test_a_read_is_a_range_of_an_index_on_both_sides(kept_url: str, connection: asyncpg.Connection) -> None:
    """What a reader asks for is looked up in the table by its key and in the log by the key's first column."""
    await fill(connection, 3000)
    await connection.execute("SELECT tailrace.fold(100); ANALYZE")
    await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
    for name in ("calls_by_day", "calls_by_hour"):
        rows = await connection.fetch(
            f"EXPLAIN (COSTS OFF) SELECT sum(calls) FROM {name} WHERE user_id = 1 AND date >= '2026-03-05' AND date < '2026-03-07'"
        )
        text = "\n".join(row[0] for row in rows)
        assert "Seq Scan" not in text
        assert text.count("Index Cond") == 2, text
        assert text.count("user_id = 1") == 2, text


async def test_all_dimensions_that_lead_are_looked_up_in_the_log(
    tables_url: str, connection: asyncpg.Connection
) -> None:
    """Who reads one agent of a user passes over no difference of the user's others; one index serves both rollups."""
    by_agent = replace(BY_HOUR, leading=2, maintenance="deltas")
    by_user = replace(BY_DAY, maintenance="deltas")
    await apply(tables_url, [by_agent, by_user])
    await fill(connection, 3000)
    await connection.execute("ANALYZE; SET enable_seqscan = off; SET enable_bitmapscan = off")
    for name, where, wanted in (
        ("calls_by_hour", "user_id = 1 AND agent_id = 2", "((user_id = 1) AND (agent_id = 2))"),
        ("calls_by_day", "user_id = 1", "(user_id = 1)"),
    ):
        rows = await connection.fetch(f"EXPLAIN (COSTS OFF) SELECT sum(calls) FROM {name} WHERE {where}")
        assert [row[0].strip() for row in rows].count(f"Index Cond: {wanted}") == 2, rows
    (log,) = logs_of([by_agent, by_user])
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass"
    assert await connection.fetchval(indexes, log.table) == 1


async def test_a_publication_of_all_tables_does_not_stop_folding(kept_url: str, connection: asyncpg.Connection) -> None:
    """A log has no key; with logical replication of everything its rows can still be deleted."""
    await connection.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    await connection.execute("INSERT INTO calls (id, user_id, status, created_at) VALUES (1, 1, 'x', now())")
    assert await connection.fetchval("SELECT tailrace.fold(10)") > 0
    assert await drift(connection) == {}


def test_equal_names_of_different_meaning_get_columns_of_their_own() -> None:
    """Two rollups may call different expressions the same; their log keeps both."""
    other = replace(KEPT[1], name="other", dimensions={"user_id": BY_HOUR.dimensions["agent_id"]})
    (log,) = logs_of([other, replace(BY_DAY, maintenance="deltas")])
    text = log.create()[0]
    assert '"user_id" INTEGER NOT NULL' in text
    assert '"public.other.user_id" INTEGER' in text
    assert text.count('"minutes"') == 1
