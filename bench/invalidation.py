"""How soon a commit that Tailrace had no part in ends the cached answers of three servers on one machine.

A process of its own commits by plain SQL at a fixed rate, whatever happens, and sends every server a request for what
it changed each few milliseconds, whatever is answered. What counts is when a request is *sent* that still gets the old
answer: how long it then waits in a busy server is not staleness. The slowest of the three servers counts, from the
return of the commit; beside the last request that got the old answer stands the next one, since the truth lies between.

Each server also notes, on the machine's one monotonic clock, when it dropped its copy of the stamp. That is later than
what clients can see: the word of it waits in the server's queue before the requests that were sent after it.

Loads: none; half of what the servers carried when asked without pause, in an open loop; and without pause. All of them
beside ``tailrace relay``, the last without it as well. CPU of an idle system is in it: servers, database and relay.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Coroutine, Iterator
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
SECONDS = float(os.environ.get("BENCH_SECONDS", "8"))
IDLE = 4.0
CAPACITY = 3.0
SETTLING = 2.0
"""Seconds without load after which what the load began has ended."""
LEAD = 1.0
"""Seconds by which a load begins before the commits; it goes on for twice as long behind them."""

metadata = MetaData()
items = Table("items", metadata, Column("id", Integer, primary_key=True), Column("version", Integer, nullable=False))


@dataclass(slots=True)
class Commit:
    """One commit and what became of it; seconds from its return.

    ``dropped`` is without a server that held no copy. ``old``: for each server, when the last request was sent that got
    an old answer; ``new``: the next one. Both are empty for a commit that was not probed.
    """

    dropped: list[float]
    old: list[float]
    new: list[float]


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
            RuntimeError: the writer failed, or a server never showed a commit.
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

    async def _witnessed(self) -> list[list[tuple[int, float]]]:
        answers = await asyncio.gather(*(server.send(Request("witness", "/witness")) for server in self.connections))
        return [answer.json() for answer in answers]

    async def idle_cpu(self, relay: int | None = None) -> tuple[float, float, float]:
        """Percent of a core that one server, the database for everybody, and the relay use while nothing happens."""
        groups = [server.pid for server in self.servers], await self._relay_backends(), [relay] if relay else []
        before = [sum(map(_cpu, group)) for group in groups]
        await asyncio.sleep(IDLE)
        used = [sum(map(_cpu, group)) - early for group, early in zip(groups, before, strict=True)]
        of_servers, of_database, of_relay = (seconds / IDLE * 100 for seconds in used)
        return of_servers / len(self.servers), of_database, of_relay

    async def loaded(self, load: str, running: Coroutine[Any, Any, list[LoadResult]]) -> list[Measurement]:
        """What the writer and the servers saw, and what the servers carried meanwhile."""
        under_way = asyncio.ensure_future(running)
        await asyncio.sleep(LEAD)
        rows = _rows(load, await self.commits(SECONDS))
        return rows + _load_row(load, await under_way)

    async def _relay_backends(self) -> list[int]:
        connection = await asyncpg.connect(self.database)
        try:
            rows = await connection.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'tailrace-relay'")
        finally:
            await connection.close()
        return [row["pid"] for row in rows]


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, by the scheduler: ticks find whoever a timer has just woken."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text(encoding="ascii").split()[0]) for thread in threads) / 1e9


def _commit(seen: dict[str, Any], witnesses: list[list[tuple[int, float]]]) -> Commit:
    item, began, committed = seen["item"], seen["began"], seen["committed"]
    warmed = began + PROBED / COMMITS / 2  # a drop behind it is not of this commit: there was no copy
    drops = [[moment for of, moment in witness if of == item and began <= moment < warmed] for witness in witnesses]
    old, new = [], []
    for asked in seen["asked"]:
        last = max((place for place, (_, was_old) in enumerate(asked) if was_old), default=-1)
        old.append(asked[last][0] - committed if last >= 0 else 0.0)
        new.append(asked[last + 1][0] - committed)
    return Commit([max(0.0, min(moments) - committed) for moments in drops if moments], old, new)


def _rows(load: str, commits: list[Commit]) -> list[Measurement]:
    figures = {
        "last request with an old answer, sent": [max(commit.old) for commit in commits if commit.old],
        "the next request, sent": [max(commit.new) for commit in commits if commit.new],
        "copy dropped by every server": [max(commit.dropped) for commit in commits if commit.dropped],
    }
    found = []
    for name, seconds in figures.items():
        summary = summarise(seconds)
        for metric, value in (("p50", summary.p50), ("p99", summary.p99), ("max", summary.maximum)):
            found.append(Measurement(load, name, metric, round(value * 1000, 2), "ms"))
        found.append(Measurement(load, name, "commits", len(seconds), ""))
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


async def _measure(stage: Stage, stack: AsyncExitStack, environment: dict[str, str]) -> list[Measurement]:
    await stage.warm()
    capacity = sum(result.requests_per_second for result in await stage.without_pause(CAPACITY))
    lasting = SECONDS + 3 * LEAD
    rows = await stage.loaded("saturated, servers alone", stage.without_pause(lasting))
    await asyncio.sleep(SETTLING)
    of_server, of_database, _ = await stage.idle_cpu()
    rows.append(Measurement("idle, servers alone", "a server", "CPU", round(of_server, 2), "% of a core"))
    rows.append(Measurement("idle, servers alone", "database, for all", "CPU", round(of_database, 2), "% of a core"))
    relay = await _start_relay(stack, environment)
    await asyncio.sleep(SETTLING)
    of_server, of_database, of_relay = await stage.idle_cpu(relay)
    rows.append(Measurement("idle", "a server", "CPU", round(of_server, 2), "% of a core"))
    rows.append(Measurement("idle", "database, for all", "CPU", round(of_database, 2), "% of a core"))
    rows.append(Measurement("idle", "relay", "CPU", round(of_relay, 2), "% of a core"))
    rows += _rows("no load", await stage.commits(SECONDS))
    rows += await stage.loaded("half load", stage.at_rate(capacity / 2 / SERVERS, lasting))
    return rows + await stage.loaded("saturated", stage.without_pause(lasting))


async def _start_relay(stack: AsyncExitStack, environment: dict[str, str]) -> int:
    """``tailrace relay``; its process id."""
    relay = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace.cli", "relay"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )

    async def stop() -> None:
        if relay.returncode is None:
            relay.terminate()
        await relay.wait()

    stack.push_async_callback(stop)
    assert relay.stdout is not None
    if not await relay.stdout.readline():
        raise RuntimeError("the relay did not start")
    return relay.pid


async def _prepare(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE items (id int PRIMARY KEY, version int NOT NULL)")
        await connection.execute(f"INSERT INTO items SELECT n, 0 FROM generate_series(0, {ITEMS - 1}) AS n")
    finally:
        await connection.close()
    await apply(url, [Watch(items, key="id")])


def main() -> list[Measurement]:
    """Idle, half loaded and saturated, a minute with ``BENCH_SECONDS`` as it is, 8 a load."""
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
        return await _measure(Stage(url, servers, connections), stack, environment)
