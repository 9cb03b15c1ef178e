"""The report on a database, from a real server that counts its statements."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.db.report import DatabaseReport, database_report
from tailrace.embedded import PostgresServer

TABLES = """
CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE calls (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, minutes int NOT NULL, note text);
CREATE INDEX calls_minutes ON calls (minutes);
CREATE INDEX calls_minutes_note ON calls (minutes, note);
CREATE INDEX calls_minutes_down ON calls (minutes DESC);
CREATE INDEX calls_long ON calls (minutes) WHERE minutes > 50;
CREATE UNIQUE INDEX calls_id_again ON calls (id);
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n;
INSERT INTO calls SELECT n, n % 100 + 1, n % 60, 'x' FROM generate_series(1, 30000) n;
"""


@pytest.fixture(scope="module")
def counting(server_folder: Path) -> Iterator[PostgresServer]:
    """A server that counts statements."""
    settings = {"shared_preload_libraries": "pg_stat_statements", "fsync": "off", "autovacuum": "off"}
    with PostgresServer(server_folder / "counting", settings=settings) as server:
        yield server


@pytest.fixture
async def database(counting: PostgresServer) -> AsyncIterator[Database]:
    counting.create_database("reported")
    connection = await asyncpg.connect(counting.url("reported"))
    await connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION pg_stat_statements SCHEMA extensions")
    await connection.execute(TABLES)
    await connection.close()
    made = Database(counting.url("reported"))
    yield made
    await made.aclose()
    connection = await asyncpg.connect(counting.url("postgres"))
    await connection.execute("DROP DATABASE reported WITH (FORCE)")
    await connection.close()


async def settled(database: Database, table: str, rows: int) -> DatabaseReport:
    """The report once the server's counters, which lag, know of ``rows`` in ``table``."""
    return await reported(database, lambda report: any(t.name == table and t.rows >= rows for t in report.tables))


async def reported(database: Database, wanted: Callable[[DatabaseReport], bool]) -> DatabaseReport:
    """The first report that is as ``wanted``."""
    report = await database_report(database)

    async def is_wanted() -> bool:
        nonlocal report
        report = await database_report(database)
        return wanted(report)

    await wait_until(is_wanted)
    return report


def advised(report: DatabaseReport) -> set[tuple[str, str]]:
    return {(advice.code, advice.about) for advice in report.advice}


async def test_says_what_is_wrong_and_only_that(database: Database) -> None:
    """Each planted fault is named with the statement that mends it; what only looks alike is left alone."""
    found = advised(report := await settled(database, "public.calls", 30_000))
    assert ("never_analyzed", "public.calls") in found
    assert ("foreign_key_unindexed", "public.calls calls_user_id_fkey") not in found  # not known to be large yet
    assert ("index_needless", "public.calls_minutes") in found
    assert not {about for code, about in found if code == "index_needless"} - {"public.calls_minutes"}
    assert ("never_analyzed", "public.users") not in found
    assert next(index for index in report.indexes if index.name == "public.calls_minutes").same_as == (
        "public.calls_minutes_note"
    )


async def test_the_advice_mends_what_it_names(database: Database) -> None:
    """Carrying out every piece of advice leaves nothing to act upon."""
    report = await settled(database, "public.calls", 30_000)
    connection = await asyncpg.connect(database.url)
    await connection.execute("ANALYZE calls")
    await connection.execute("DELETE FROM calls WHERE id % 2 = 0")
    planted = {"dead_rows", "statistics_old", "foreign_key_unindexed"}
    report = await reported(database, lambda report: planted <= {code for code, _ in advised(report)})
    acts = [advice for advice in report.advice if advice.level == "act"]
    assert {"dead_rows", "statistics_old", "foreign_key_unindexed", "index_needless"} == {a.code for a in acts}
    for advice in acts:
        assert advice.sql is not None
        await connection.execute(advice.sql)
    await connection.close()
    await reported(database, lambda report: not any(advice.level == "act" for advice in report.advice))


async def test_an_index_that_was_broken_off(database: Database) -> None:
    """An invalid index is named; it serves nobody and every write pays for it."""
    connection = await asyncpg.connect(database.url)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY calls_broken ON calls (user_id)")
    await connection.close()
    assert ("index_invalid", "public.calls_broken") in advised(await database_report(database))


async def test_slow_statements_without_constants_with_plans(database: Database) -> None:
    """Statements are counted without their values, which may be secrets, and shown with the plan they get."""
    connection = await asyncpg.connect(database.url)
    await connection.execute("SELECT extensions.pg_stat_statements_reset()")
    for _ in range(20):
        await connection.fetch("SELECT count(*) FROM calls WHERE note = 'hunter2' AND user_id = 7")
    await connection.execute("CREATE ROLE reporter LOGIN PASSWORD 'hunter2'")
    report = await database_report(database, statements=100)
    await connection.execute("DROP ROLE reporter")
    await connection.close()
    assert report.statements is not None
    slow = next(s for s in report.statements if "FROM calls WHERE note" in s.statement)
    assert slow.calls == 20
    assert slow.rows == 20
    assert slow.total_time >= slow.mean_time > 0
    assert "hunter2" not in repr(report)
    assert slow.plan is not None
    assert "Scan on calls" in slow.plan
    assert "= $1" in slow.plan


async def test_plans_of_statements_with_parameters(database: Database) -> None:
    """The plan is the one for unknown parameters; the statement itself does not run."""
    connection = await asyncpg.connect(database.url)
    await connection.execute("SELECT extensions.pg_stat_statements_reset()")
    for number in range(50):
        await connection.execute("UPDATE calls SET minutes = 1 WHERE user_id = $1 AND minutes > 1000", number)
    await connection.close()
    report = await database_report(database)
    assert report.statements is not None
    update = next(s for s in report.statements if s.statement.startswith("UPDATE calls"))
    assert update.plan is not None
    assert "Update on calls" in update.plan
    assert update.calls == 50


async def test_connections_by_state(database: Database) -> None:
    """Who holds connections, in which state and for how long, by the name that applications give."""
    connection = await asyncpg.connect(database.url, server_settings={"application_name": "accounts"})
    await connection.execute("BEGIN")
    report = await database_report(database)
    await connection.execute("ROLLBACK")
    await connection.close()
    assert any(c.application == "accounts" and c.state == "idle in transaction" for c in report.connections)


async def test_without_statement_counting(database_url: str) -> None:
    """A server that does not count statements gets the rest of the report, and how to begin counting."""
    database = Database(database_url)
    report = await database_report(database)
    await database.aclose()
    assert report.statements is None
    assert ("statements_not_counted", report.database) in advised(report)


async def test_a_role_without_rights(database: Database) -> None:
    """Whoever may connect gets a report, of what the server shows to them, in place of a refusal."""
    connection = await asyncpg.connect(database.url, server_settings={"application_name": "somebody else"})
    await connection.execute("CREATE ROLE reporter LOGIN PASSWORD 'reports'")
    parts = urlsplit(database.url)
    url = urlunsplit(parts._replace(netloc=f"reporter:reports@{parts.hostname}:{parts.port}"))
    unprivileged = Database(url)
    try:
        report = await database_report(unprivileged)
        assert "public.calls" in {table.name for table in report.tables}
        assert report.connections
        assert all(each.longest is None for each in report.connections)
        assert report.statements is None  # the extension's schema is not open to everybody
        assert ("statements_not_counted", report.database) in advised(report)
        text = await asyncio.to_thread(run, "--database-url", url)
        assert text.returncode in (0, 3), text.stderr
        await connection.execute("GRANT USAGE ON SCHEMA extensions TO reporter")
        assert (await database_report(unprivileged)).statements is not None
    finally:
        await unprivileged.aclose()
        await connection.execute("REVOKE ALL ON SCHEMA extensions FROM reporter; DROP ROLE reporter")
        await connection.close()


async def test_statements_that_cannot_be_counted(server_folder: Path) -> None:
    """Where the extension was created and is not loaded, a role that may not read the setting gets its report too."""
    with PostgresServer(
        server_folder / "unloaded", settings={"shared_preload_libraries": "", "fsync": "off"}
    ) as server:
        connection = await asyncpg.connect(server.url("postgres"))
        await connection.execute("CREATE EXTENSION pg_stat_statements; CREATE ROLE reporter LOGIN PASSWORD 'reports'")
        await connection.close()
        parts = urlsplit(server.url("postgres"))
        netloc = f"reporter:reports@{parts.hostname}:{parts.port}"
        for url in (server.url("postgres"), urlunsplit(parts._replace(netloc=netloc))):
            database = Database(url)
            try:
                assert (await database_report(database)).statements is None
            finally:
                await database.aclose()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tailrace.cli", "db", "report", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


async def test_command_line(database: Database) -> None:
    """Text for people, JSON for programs; exit code 3 while something is to be done, 1 without a database."""
    await settled(database, "public.calls", 30_000)
    text = await asyncio.to_thread(run, "--database-url", database.url)
    assert text.returncode == 3, text.stderr
    assert "ANALYZE public.calls;" in text.stdout
    assert "DROP INDEX CONCURRENTLY public.calls_minutes;" in text.stdout
    document = await asyncio.to_thread(run, "--database-url", database.url, "--format", "json", "--no-plans")
    assert {t["name"] for t in json.loads(document.stdout)["tables"]} == {"public.calls", "public.users"}
    nowhere = await asyncio.to_thread(run, "--database-url", "postgresql://127.0.0.1:9/nothing")
    assert nowhere.returncode == 1
    assert len(nowhere.stderr.splitlines()) == 1
