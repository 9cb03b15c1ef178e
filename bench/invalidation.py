"""How soon a commit that Tailrace had no part in ends the cached answers of three servers on one machine.

A process of its own commits by plain SQL at a fixed rate, whatever happens. Each server notes on the machine's one
monotonic clock when it dropped its copy of the stamp: from then on it cannot serve the old answer. The slowest of the
three counts, from the return of the commit. Beside it stands what an HTTP client sees who asks every server again and
again, its own waiting and the new calculation included. The way is broken down at the sending of the new stamp:
before it lies the relay (waiting for its next look, the look itself, its event loop), behind it Valkey and the pushes.

Loads: none; half of what the servers carried when asked without pause, in an open loop; and without pause, which says
what queues do rather than what the protocol does. CPU of an idle system is in it, servers and database apart.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Column, Integer, MetaData, Table

from bench import Measurement
from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace.schema import Watch, apply
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import LoadResult, closed_loop, open_loop
from tailrace.verify.pacer import Pacer
from tailrace.verify.statistics import summarise
from tailrace_services.prove.processes import ServerProcess

__all__ = ["main"]

SERVERS = 3
ITEMS = 360
PROBED = 60
"""Items that only the writer changes and the probes ask for, besides those of the load."""
COMMITS = 20
"""Commits a second."""
USERS = 16
"""Clients a server that ask without pause."""
COMPUTED = 0.1
"""Share of the load's requests that are not cached and ask the database."""
SECONDS = float(os.environ.get("BENCH_SECONDS", "15"))
IDLE = 3.0
CAPACITY = 3.0
TICK = os.sysconf("SC_CLK_TCK")

metadata = MetaData()
items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("version", Integer, nullable=False))


@dataclass(slots=True)
class Commit:
    """One commit and what became of it; seconds from its return. A server that held no copy is not in ``dropped``."""

    sent: float
    dropped: list[float]
    shown: list[float]


def _requests(chance: random.Random) -> Iterator[Request]:
    kept = [Request("kept", f"/items/{item}") for item in range(PROBED, ITEMS)]
    computed = [Request("computed", f"/computed/{item}") for item in range(PROBED, ITEMS)]
    while True:
        yield chance.choice(computed if chance.random() < COMPUTED else kept)


class Stage:
    """The servers and what loads them."""

    def __init__(self, database: str, servers: list[ServerProcess], connections: list[Connections]) -> None:
        self.database = database
        self.servers = servers
        self.connections = connections
        self._chance = random.Random(1)

    async def warm(self) -> None:
        """Every server has calculated or copied every answer once, and opened its connections."""
        for server in self.connections:
            for item in range(ITEMS):
                await server.send(Request("warm", f"/items/{item}"))
        await self.without_pause(1.0)

    async def without_pause(self, seconds: float) -> list[LoadResult]:
        """A closed loop on every server."""
        requests = _requests(self._chance)
        loops = (
            closed_loop(server, lambda _user, _turn: next(requests), users=USERS, duration=seconds)
            for server in self.connections
        )
        return await asyncio.gather(*loops)

    async def at_rate(self, rate: float, seconds: float) -> list[LoadResult]:
        """An open loop of ``rate`` requests a second on every server."""
        loops = (
            open_loop(server, _requests(self._chance), Pacer(rate, seconds, jitter=self._chance), limit=64)
            for server in self.connections
        )
        return await asyncio.gather(*loops)

    async def commits(self, seconds: float, rate: float = COMMITS) -> list[Commit]:
        """What the writer and the servers saw in ``seconds``.

        Raises:
            RuntimeError: the writer failed, or a commit was never stamped.
        """
        await self._witnessed()
        orders = {
            "servers": [server.url for server in self.servers],
            "database": self.database,
            "items": [0, PROBED],
            "rate": rate,
            "seconds": seconds,
        }
        command = [sys.executable, "-m", "bench._invalidation_writer", json.dumps(orders)]
        writer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await writer.communicate()
        if writer.returncode != 0:
            raise RuntimeError("the writer failed")
        witnesses = await self._witnessed()
        return [_commit(seen, witnesses) for seen in json.loads(said)]

    async def _witnessed(self) -> list[dict[str, list[tuple[int, float]]]]:
        answers = await asyncio.gather(*(server.send(Request("witness", "/witness")) for server in self.connections))
        return [answer.json() for answer in answers]

    async def idle_cpu(self) -> tuple[float, float]:
        """Percent of a core that one server, and the database for all of them, use while nothing happens."""
        backends = await self._relay_backends()
        before = [_cpu(server.pid) for server in self.servers], [_cpu(pid) for pid in backends]
        await asyncio.sleep(IDLE)
        after = [_cpu(server.pid) for server in self.servers], [_cpu(pid) for pid in backends]
        of_servers, of_database = (sum(late) - sum(early) for late, early in zip(after, before, strict=True))
        return of_servers / len(self.servers) / IDLE * 100, of_database / IDLE * 100

    async def _relay_backends(self) -> list[int]:
        connection = await asyncpg.connect(self.database)
        try:
            rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tailrace-relay'")
        finally:
            await connection.close()
        return [row["pid"] for row in rows]


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _commit(seen: dict[str, Any], witnesses: list[dict[str, list[tuple[int, float]]]]) -> Commit:
    def first(name: str, witness: dict[str, list[tuple[int, float]]]) -> float | None:
        moments = [moment for item, moment in witness[name] if item == seen["item"] and moment >= seen["began"]]
        return min(moments, default=None)

    committed = seen["committed"]
    sent = [moment for witness in witnesses if (moment := first("sent", witness)) is not None]
    dropped = [moment for witness in witnesses if (moment := first("dropped", witness)) is not None]
    if not sent:
        raise RuntimeError(f"the commit to item {seen['item']} was never stamped")
    return Commit(
        max(0.0, min(sent) - committed),
        [max(0.0, moment - committed) for moment in dropped],
        [moment - committed for moment in seen["shown"]],
    )


def _rows(load: str, commits: list[Commit]) -> list[Measurement]:
    held = [commit for commit in commits if commit.dropped]
    figures = {
        "invalid in every process": [max(commit.dropped) for commit in held],
        "of it until the stamp is sent": [commit.sent for commit in held],
        "of it from there to the last process": [max(commit.dropped) - commit.sent for commit in held],
        "new answer from every process (HTTP)": [max(commit.shown) for commit in commits if commit.shown],
    }
    found = []
    for name, seconds in figures.items():
        summary = summarise(seconds)
        for metric, value in (("p50", summary.p50), ("p99", summary.p99), ("max", summary.maximum)):
            found.append(Measurement(load, name, metric, round(value * 1000, 2), "ms"))
    found.append(Measurement(load, "commits", "count", len(commits), ""))
    copies = sum(len(commit.dropped) for commit in commits) / len(commits)
    found.append(Measurement(load, "servers that held a copy", "mean", round(copies, 2), ""))
    return found


def _load_row(load: str, results: list[LoadResult]) -> list[Measurement]:
    answered = sum(result.requests_per_second for result in results)
    errors = sum(result.errors.total() for result in results)
    return [
        Measurement(load, "load", "throughput", round(answered), "requests/s"),
        Measurement(load, "load", "errors", errors, ""),
    ]


async def _measure(stage: Stage) -> list[Measurement]:
    rows: list[Measurement] = []
    await stage.warm()
    capacity = sum(result.requests_per_second for result in await stage.without_pause(CAPACITY))
    await asyncio.sleep(2.0)
    of_server, of_database = await stage.idle_cpu()
    rows.append(Measurement("idle", "a server", "CPU", round(of_server, 2), "% of a core"))
    rows.append(Measurement("idle", "the database, for all servers", "CPU", round(of_database, 2), "% of a core"))
    rows += _rows("no load", await stage.commits(SECONDS))
    for load, running in (
        ("half load", lambda: stage.at_rate(capacity / 2 / SERVERS, SECONDS + 3)),
        ("saturated", lambda: stage.without_pause(SECONDS + 3)),
    ):
        under_way = asyncio.ensure_future(running())
        await asyncio.sleep(1.0)
        rows += _rows(load, await stage.commits(SECONDS))
        rows += _load_row(load, await under_way)
    return rows


async def _prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE items (id int PRIMARY KEY, version int NOT NULL)")
        await connection.execute(f"INSERT INTO items SELECT n, 0 FROM generate_series(0, {ITEMS - 1}) AS n")
    finally:
        await connection.close()
    await apply(url, [Watch(items, key="id")])


def main() -> list[Measurement]:
    """Idle, half loaded and saturated: 65 seconds with ``BENCH_SECONDS`` as it is, 15 a load."""
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        Path(folder).chmod(0o711)  # the database's user is another one
        return asyncio.run(_on_servers(Path(folder)))


async def _on_servers(folder: Path) -> list[Measurement]:
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(folder / "postgres"))
        valkey = stack.enter_context(ValkeyServer(folder / "valkey"))
        postgres.create_database("bench")
        url = postgres.url("bench")
        await _prepare(url)
        environment = {"TAILRACE_DATABASE_URL": url, "TAILRACE_VALKEY_URL": valkey.url}
        servers = [
            ServerProcess(f"server-{number}", "bench._invalidation_server:tailrace", environment, folder)
            for number in range(SERVERS)
        ]
        for server in servers:
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        connections = [await stack.enter_async_context(Connections(server.url)) for server in servers]
        return await _measure(Stage(url, servers, connections))
