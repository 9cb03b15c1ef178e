"""The writer of ``bench.invalidation``: commits by plain SQL at a fixed rate, and asks every server what it answers.

A process of its own, so that nothing but the commits and their probes delays what it notes. Reads its orders as JSON
from the command line, writes what it saw as JSON to standard output. Touches: the database, the servers.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg
import uvloop

from tailrace.verify.client import Connections, Request
from tailrace.verify.pacer import Pacer

__all__ = ["main"]

UPDATE = "UPDATE items SET version = version + 1 WHERE id = $1 RETURNING version"
PAUSE = 0.005
"""Seconds between two questions of a probe to one server, whether or not the first was answered."""
PROBED = 2
"""One commit in so many is probed: those who ask again and again must not be the load that they measure."""
CONNECTIONS = 32
"""Opened to each server beforehand, so that a question leaves when it is asked."""
GIVE_UP = 10.0
"""Seconds after which something is broken rather than slow."""


async def _version(server: Connections, item: int) -> int:
    response = await server.send(Request("probe", f"/items/{item}"))
    if response.status != 200:
        raise RuntimeError(f"{server.base_url} answered {response.status}")
    version: int = response.json()["version"]
    return version


async def _warm(servers: list[Connections], item: int) -> None:
    """Let every server hold a copy, whatever made it drop the last one: two questions, the first may calculate."""
    for _ in range(2):
        await asyncio.gather(*(_version(server, item) for server in servers))


async def _asked(server: Connections, item: int, version: int) -> list[tuple[float, bool]]:
    """When each question was sent, in order, and if its answer was older than ``version``; the last was not.

    How long an answer took does not count: it is the client's waiting, and no staleness.
    """
    asked: list[tuple[float, bool]] = []
    new = asyncio.Event()

    async def ask() -> None:
        sent = time.monotonic()
        old = await _version(server, item) < version
        asked.append((sent, old))
        if not old:
            new.set()

    end = time.monotonic() + GIVE_UP
    async with asyncio.TaskGroup() as group:
        while not new.is_set():
            if time.monotonic() > end:
                raise RuntimeError(f"{server.base_url} still shows an old version of item {item}")
            group.create_task(ask())
            await asyncio.sleep(PAUSE)
    return sorted(asked)


async def _probe(servers: list[Connections], item: int, version: int) -> list[list[tuple[float, bool]]]:
    return await asyncio.gather(*(_asked(server, item, version) for server in servers))


async def _nothing() -> list[list[tuple[float, bool]]]:
    return []


async def _run(orders: dict[str, Any]) -> list[dict[str, Any]]:
    servers = [Connections(url) for url in orders["servers"]]
    first, last = orders["items"]
    database = await asyncpg.connect(orders["database"])
    for server in servers:
        await asyncio.gather(*(_version(server, first) for _ in range(CONNECTIONS)))
    for item in range(first, last):
        await _warm(servers, item)
    noted, warming, start = [], [], time.monotonic()
    for number, due in enumerate(Pacer(orders["rate"], orders["seconds"])):
        await asyncio.sleep(max(0.0, start + due - time.monotonic()))
        item = first + number % (last - first)
        began = time.monotonic()
        version = await database.fetchval(UPDATE, item)
        committed = time.monotonic()
        probing = _nothing() if number % PROBED else _probe(servers, item, version)
        noted.append((item, began, committed, asyncio.ensure_future(probing)))
        ahead = first + (number + (last - first) // 2) % (last - first)
        warming.append(asyncio.ensure_future(_warm(servers, ahead)))
    await asyncio.gather(*warming)
    found = [
        {"item": item, "began": began, "committed": committed, "asked": await probes}
        for item, began, committed, probes in noted
    ]
    await database.close()
    for server in servers:
        server.close()
    return found


def main() -> None:
    """Follow the orders."""
    json.dump(uvloop.run(_run(json.loads(sys.argv[1]))), sys.stdout)


if __name__ == "__main__":
    main()
