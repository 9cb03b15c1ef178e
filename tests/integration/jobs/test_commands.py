"""``tailrace jobs``: what an operator sees and does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text
from tests.conftest import MakeDatabase
from tests.integration.jobs.work import mark, working
from tests.waiting import wait_until
from typer.testing import CliRunner, Result

from tailrace.cli.app import app
from tailrace.db import Database
from tailrace.jobs import JobContext, Jobs, Retries, dead_jobs, install_tables, list_jobs, plan_tables

JOBS = "tests.integration.jobs.work:jobs"


@pytest.fixture
def empty_url(make_database: MakeDatabase) -> str:
    """The address of a database without a queue."""
    return make_database()


async def run(*arguments: str) -> Result:
    """A command, in a thread since it has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["jobs", *arguments])


async def read(*arguments: str, code: int = 0) -> Any:
    """The JSON of a command that ends with ``code``."""
    done = await run(*arguments, "--format", "json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


async def test_tables_are_made_once_and_a_dry_run_makes_none(empty_url: str) -> None:
    """What would be done is what is done; then there is nothing more to do. Jobs in them stay."""
    planned = await read("install", "--database-url", empty_url, code=3)
    assert planned == {"statements": await plan_tables(empty_url), "done": False}
    assert (await read("install", "--database-url", empty_url, "--yes"))["statements"] == planned["statements"]
    database = Database(empty_url)
    async with database.session() as session:
        await mark.enqueue(session, mark="stays")
        await session.commit()
    assert (await read("install", "--database-url", empty_url, "--yes"))["statements"] == []
    assert len(await list_jobs(database)) == 1
    await database.aclose()


async def test_two_installations_at_once_take_turns(empty_url: str) -> None:
    """One does it, the other finds it done."""
    done = await asyncio.gather(*(install_tables(empty_url) for _ in range(3)))
    assert sorted(bool(statements) for statements in done) == [False, False, True]


async def test_what_is_missing_is_made_up_for(queue_url: str) -> None:
    """As after an update of the library that wants another index."""
    database = Database(queue_url)
    async with database.session() as session:
        await session.execute(text("DROP INDEX tailrace_jobs.pgqueuer_ep_ea_idx"))
        await session.commit()
    await database.aclose()
    (statement,) = await install_tables(queue_url)
    assert "pgqueuer_ep_ea_idx" in statement


async def test_a_database_without_a_queue_says_what_to_do(empty_url: str) -> None:
    """One line, and no traceback."""
    for command in ("list", "dead"):
        done = await run(command, "--database-url", empty_url)
        assert done.exit_code == 1
        assert done.stderr == "tailrace: the queue's tables are not as they should be: tailrace jobs install --yes\n"


async def test_jobs_are_put_there_and_listed(database: Database, queue_url: str) -> None:
    """Arguments are checked like a caller's, and shown to who asks for them."""
    made = await read("run", "mark", "--app", JOBS, "--argument", "mark=by hand", "--database-url", queue_url)
    (listed,) = await read("list", "--database-url", queue_url)
    assert (listed["id"], listed["name"], listed["state"], listed["arguments"]) == (made["id"], "mark", "waiting", None)
    shown = await run("list", "--database-url", queue_url, "--arguments", "--name", "mark")
    assert '{"mark": "by hand"}' in shown.stdout
    assert (await run("list", "--database-url", queue_url, "--name", "other")).stdout == ""
    for wrong in (
        ["mark", "--app", JOBS, "--argument", "mrak=x"],
        ["mark", "--app", JOBS, "--argument", "x"],
        ["nothing", "--app", JOBS],
        ["mark", "--app", "tests.integration.jobs.work:SOON"],
        ["mark", "--app", "tests.integration.jobs.nowhere:jobs"],
    ):
        done = await run("run", *wrong, "--database-url", queue_url)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.output


async def test_dead_jobs_are_shown_and_revived(database: Database, queue_url: str) -> None:
    """Exit code 3 while there are some; what is not dead is left alone, and said."""
    assert await read("dead", "--database-url", queue_url) == []
    jobs = Jobs()

    @jobs.job("fail", retries=Retries(attempts=1))
    async def fail(context: JobContext, *, why: str) -> None:
        raise ValueError(why)

    async with database.session() as session:
        number = await fail.enqueue(session, why="for a test")
        await session.commit()

    async def died() -> bool:
        return bool(await dead_jobs(database))

    async with working(database, jobs):
        await wait_until(died)
    (dead,) = await read("dead", "--database-url", queue_url, code=3)
    assert (dead["job"]["id"], dead["error"]) == (number, "ValueError: for a test")
    assert "ValueError: for a test" in (await run("dead", "--database-url", queue_url)).stdout
    assert await read("retry", str(number), "0", "--database-url", queue_url, code=3) == {"requeued": [number]}
    assert await read("retry", "--all", "--database-url", queue_url) == {"requeued": []}
    assert await read("dead", "--database-url", queue_url) == []
    assert (await run("retry", "--database-url", queue_url)).exit_code == 2


@pytest.mark.parametrize("command", ["list", "dead"])
async def test_a_database_that_is_away_is_one_line(command: str) -> None:
    """No traceback, no password."""
    done = await run(command, "--database-url", "postgresql://me:hunter2@127.0.0.1:1/none")
    assert done.exit_code == 1
    assert done.stderr.startswith("tailrace: cannot reach the database")
    assert "hunter2" not in done.output
