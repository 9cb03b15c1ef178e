"""TimescaleDB for tests: its own code, compiled for Node; one connection at a time, and no COPY."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

__all__ = ["connected", "running_timescaledb"]

FOLDER = Path(__file__).with_name("timescaledb")


@contextmanager
def running_timescaledb() -> Iterator[str]:
    """The address of a started one, in memory."""
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").exists():
        pytest.skip(f"TimescaleDB for tests needs node, and `npm ci` in {FOLDER.name}")
    with subprocess.Popen(
        [node, "server.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        port = server.stdout.readline().strip()
        assert port.isdecimal(), "the server did not start"
        yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"
        server.stdin.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of its own, closed at the end so that another may come."""
    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()
