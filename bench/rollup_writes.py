"""What watching and rolling up costs a writer: single-row inserts, bare, with the outbox, with two rollups as well.

The rollups are kept at once (``immediate``) or by differences (``deltas``), with the task that folds them running
during the round; a round ends with what it left to fold being folded, and that time counts as well.

Databases with the same tables and indexes on one server that syncs its log at commit (PostgreSQL's default), 8 clients
of pgbench, rounds interleaved so that a busy machine hits all alike; ratios are medians over the rounds.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, MetaData, Numeric, Table, Text, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bench import Measurement
from tailrace.db import Folder
from tailrace.embedded import PostgresServer
from tailrace.schema import Declaration, Rollup, Watch, apply, count, sum_

__all__ = ["main"]

CLIENTS = 8
USERS = 1000

metadata = MetaData()
Table("users", metadata, Column("id", Integer, primary_key=True))
calls = Table(
    "calls",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("agent_id", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("duration_minutes", Numeric(10, 2), nullable=False),
    Column("credits_used", Numeric(12, 4), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)
Index("calls_user", calls.c.user_id, calls.c.created_at)
Index("calls_agent", calls.c.agent_id, calls.c.created_at)

FIGURES = {
    "calls": count(),
    "successful_calls": count(where=calls.c.status == "completed"),
    "duration_minutes": sum_(calls.c.duration_minutes),
    "credits_used": sum_(calls.c.credits_used),
}
WATCH = Watch(calls, key="user_id")
ROLLUPS = [
    Rollup(
        "agent_analytics",
        calls,
        {"user_id": calls.c.user_id, "agent_id": calls.c.agent_id},
        time=calls.c.created_at,
        grain="hour",
        measures=FIGURES,
    ),
    Rollup("calls_by_day", calls, {"user_id": calls.c.user_id}, time=calls.c.created_at, grain="day", measures=FIGURES),
]
DELTAS = [replace(rollup, maintenance="deltas") for rollup in ROLLUPS]
VARIANTS: dict[str, list[Declaration]] = {
    "bare": [],
    "outbox": [WATCH],
    "immediate": [WATCH, *ROLLUPS],
    "deltas": [WATCH, *DELTAS],
}
INSERT = """
\\set user {user}
\\set agent random(0, 4)
INSERT INTO calls (user_id, agent_id, status, duration_minutes, credits_used, created_at)
VALUES (:user, :user * 10 + :agent, 'completed', 2.5, 0.5, now());
"""
KEYS = {
    "uniform keys": f"random(1, {USERS})",
    "Zipf keys (1.1)": f"random_zipfian(1, {USERS}, 1.1)",
    "one hot key": "1",
}


async def prepare(url: str, declared: list[Declaration]) -> None:
    """Tables, users and, if anything is declared, Tailrace's objects."""
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(text(f"INSERT INTO users SELECT generate_series(1, {USERS})"))
    await engine.dispose()
    if declared:
        await apply(url, declared)


async def measure(server: PostgresServer, name: str, script: Path, seconds: int) -> float:
    """Transactions a second of one round, folding and all that was left to fold included."""
    pgbench = Path(server.psql_path).with_name("pgbench")
    numbers = {"-c": CLIENTS, "-j": 2, "-T": seconds}
    command = [str(pgbench), "-n", "-M", "prepared", "-f", str(script)]
    command += [str(part) for pair in numbers.items() for part in pair]
    folder = Folder(server.url(name))
    folder.start()
    try:
        done = await asyncio.to_thread(
            subprocess.run, [*command, server.url(name)], check=True, capture_output=True, text=True
        )
    finally:
        await folder.aclose()
    found = re.search(r"transactions actually processed: (\d+)", done.stdout)
    rate = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or rate is None:
        raise RuntimeError(done.stdout + done.stderr)
    transactions = int(found.group(1))
    return transactions / (transactions / float(rate.group(1)) + await fold_the_rest(server.url(name)))


async def fold_the_rest(url: str) -> float:
    """Fold what a round left; how many seconds that took."""
    engine = create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1), poolclass=NullPool)
    began = time.monotonic()
    async with engine.connect() as connection:
        reading = await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not await reading.scalar(text("SELECT to_regclass('tailrace.delta_logs') IS NOT NULL")):
            began = time.monotonic()
        else:
            while await reading.scalar(text("SELECT tailrace.fold(50000)")):
                pass
    spent = time.monotonic() - began
    await engine.dispose()
    return spent


def run(seconds: int, rounds: int) -> list[Measurement]:
    """Throughput of each variant, for each kind of keys."""
    folder = Path(tempfile.mkdtemp(prefix="tailrace-bench-"))
    folder.chmod(0o711)
    rows: list[Measurement] = []
    with PostgresServer(folder / "postgres", settings={"shared_buffers": "256MB", "max_wal_size": "4GB"}) as server:
        for name, declared in VARIANTS.items():
            server.create_database(name)
            asyncio.run(prepare(server.url(name), declared))
        for keys, user in KEYS.items():
            script = folder / "insert.sql"
            script.write_text(INSERT.format(user=user))
            figures: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for _ in range(rounds):
                for name in VARIANTS:
                    figures[name].append(asyncio.run(measure(server, name, script, seconds)))
            for name, values in figures.items():
                ratio = statistics.median(v / b for v, b in zip(values, figures["bare"], strict=True))
                group = f"single-row inserts, 8 clients, {keys}"
                middle = round(statistics.median(values))
                rows.append(Measurement(group, name, "throughput", middle, "tps", round(ratio, 2)))
    shutil.rmtree(folder)
    return rows


def main() -> list[Measurement]:
    """Three kinds of keys, 5 rounds of 3 seconds for each variant: four minutes."""
    return run(seconds=3, rounds=5)
