"""``tailrace schema``: dry by default, readable by programs, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from tests.integration.schema.world import fill

APP = "tests.integration.schema.world:OBJECTS"
ROOT = Path(__file__).parents[3]


def tailrace(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "tailrace.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


async def test_from_nothing_to_repaired(tables_url: str, connection: asyncpg.Connection) -> None:
    """Looking exits 3 while something is to be done; nothing changes without --yes or --repair."""
    where = ("--app", APP, "--database-url", tables_url)
    await fill(connection, 300)
    assert tailrace("schema", "plan", *where).returncode == 3
    dry = tailrace("schema", "apply", *where)
    assert dry.returncode == 3
    assert "dry run" in dry.stderr
    assert await connection.fetchval("SELECT to_regclass('tailrace.outbox')") is None
    done = tailrace("schema", "apply", *where, "--yes", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {s["kind"] for s in json.loads(done.stdout)["steps"]} == {"installation", "triggers", "rollup", "index"}
    assert tailrace("schema", "plan", *where).returncode == 0
    states = json.loads(tailrace("schema", "status", "--database-url", tables_url, "--format", "json").stdout)
    assert {s["state"] for s in states} == {"ready"}
    await connection.execute("UPDATE calls_by_day SET calls = calls + 1 WHERE user_id = 1")
    found = tailrace("schema", "reconcile", *where)
    assert found.returncode == 3
    assert "public.calls_by_day" in found.stdout
    assert tailrace("schema", "reconcile", *where, "--repair").returncode == 0
    assert tailrace("schema", "reconcile", *where).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--app", "nowhere:x", "--database-url", "postgresql://localhost/x"), 2, "cannot import nowhere"),
        (("--app", "json:dumps.nothing", "--database-url", "postgresql://localhost/x"), 2, "has no"),
        (("--app", APP, "--database-url", "nonsense"), 2, "must look like postgresql://"),
        (("--app", APP, "--database-url", "postgresql://127.0.0.1:1/x"), 1, "connection failed"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], code: int, said: str) -> None:
    """What was asked for wrongly ends with exit code 2, what could not be done with 1; one line on stderr."""
    done = tailrace("schema", "plan", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
