"""What the how-to guides tell people to type, typed from an empty folder, in order."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import sys
from pathlib import Path
from textwrap import dedent

import asyncpg
from tests.waiting import wait_until

GUIDES = Path(__file__).parents[3] / "docs" / "how-to"
PATIENCE = 120.0


def blocks(guide: str, language: str) -> list[str]:
    """What a guide shows in one language; commands have none."""
    # Every other fence ends a block, and looks as one that begins one of commands.
    fenced = re.split(r"^ *```(.*)\n", (GUIDES / guide).read_text(), flags=re.MULTILINE)
    return [dedent(text) for name, text in zip(fenced[1::4], fenced[2::4], strict=True) if name == language]


class Shell:
    """Somebody's shell, in a folder of their own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        outside = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
        self._environment = outside | environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    async def start(self, command: str) -> asyncio.subprocess.Process:
        """Type it."""
        return await asyncio.create_subprocess_exec(
            *shlex.split(command),
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, command: str) -> str:
        """Type it, and wait for its end; it must be a good one."""
        process = await self.start(command)
        async with asyncio.timeout(PATIENCE):
            out, error = await process.communicate()
        assert process.returncode == 0, (command, out.decode(), error.decode())
        return out.decode()


async def test_jobs(database_url: str, tmp_path: Path) -> None:
    """Tables are installed, a request leaves a job, a worker does it, and lists show what there was and is."""
    install, work, look, *_ = (text.splitlines() for text in blocks("jobs.md", ""))
    listing, dead, run = look
    (service,) = blocks("jobs.md", "python")
    (tmp_path / "service.py").write_text(service)
    shell = Shell(tmp_path, TAILRACE_DATABASE_URL=database_url)
    await shell.run(install[0])
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, created_at timestamptz NOT NULL DEFAULT now());"
        "INSERT INTO orders (created_at) VALUES ('2000-01-01')"
    )
    ask = tmp_path / "ask.py"
    ask.write_text(ASK)
    assert json.loads(await shell.run(f"python {ask.name}")) == {"id": 2}
    assert "send-invoice" in await shell.run(listing)
    worker = await shell.start(work[0])
    try:

        async def waiting() -> int:
            return int(
                await connection.fetchval("SELECT count(*) FROM tailrace_jobs.pgqueuer WHERE entrypoint ~ 'send'")
            )

        async def done() -> bool:
            return await waiting() == 0

        await wait_until(done)
        await shell.run(run)

        async def removed() -> bool:
            return [row["id"] for row in await connection.fetch("SELECT id FROM orders")] == [2]

        await wait_until(removed)
    finally:
        worker.terminate()
        await worker.communicate()
        await connection.close()
    assert json.loads(await shell.run(dead)) == []


ASK = """
import asyncio, json
from service import order, tailrace


async def ask():
    async with tailrace.running():
        print(json.dumps(await order()))


asyncio.run(ask())
"""
"""In place of a server and a request to it."""
