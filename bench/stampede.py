"""A thousand clients ask two processes for one cold answer at once: how often it is computed, how long they wait.

Both processes use the same Valkey. Computing takes 0.2 s, so that everybody has asked before it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from multiprocessing.connection import Connection

import uvloop
from fastapi import FastAPI

from bench import Measurement, peers
from bench.arena import PROVE_TIMEOUT, failures, seated, told
from bench.asking import HOST
from bench.caches import by_tailrace
from bench.contender import NotWorkingError
from bench.loopback import SERVERS
from bench.service import CALLS, KEPT, service
from bench.session import Session
from tailrace.verify.client import Connections, Request

__all__ = ["CONTENDERS", "measure"]

GROUP = "stampede"
PROCESSES = 2
CLIENTS, QUICK_CLIENTS = 1000, 100
COMPUTE = 0.2
TIMEOUT = 60.0
AUTHORITY = "service.test"
"""By which both processes are asked, as behind one balancer: answers to different hosts are different answers."""

CONTENDERS: dict[str, tuple[Callable[[str], FastAPI], tuple[str, ...]]] = {
    "no cache": (lambda url: service(seconds=COMPUTE), ()),
    "Tailrace": (lambda url: by_tailrace(url, seconds=COMPUTE), ()),
    "fastapi-cache2": (lambda url: peers.by_fastapi_cache(url, seconds=COMPUTE), ("fastapi-cache2", "redis")),
    "cashews": (lambda url: peers.by_cashews(url, seconds=COMPUTE), ("cashews", "redis")),
}
"""How each is made, given the store's address, and what it needs."""


def measure(session: Session) -> list[Measurement]:
    """Each in turn.

    Raises:
        NotWorkingError: one does not start, or a client was not answered.
    """
    url = session.surroundings({"valkey"}).valkey_url
    clients = QUICK_CLIENTS if session.quick else CLIENTS
    advance = session.progress(GROUP, len(CONTENDERS))
    rows = []
    for name, (_, packages) in CONTENDERS.items():
        missing = [package for package in packages if not session.has(package)]
        if missing:
            session.leave_out(f"{GROUP}: {name}: {', '.join(missing)} not installed")
            continue
        session.forget()
        rows += uvloop.run(_measure(name, url, clients))
        advance()
    return rows


async def _measure(name: str, url: str, clients: int) -> list[Measurement]:
    async with AsyncExitStack() as stack:
        pipes = [stack.enter_context(seated(_serve, name, url)) for _ in range(PROCESSES)]
        servers = []
        for pipe in pipes:
            port, _ = await asyncio.to_thread(told, pipe, name, PROVE_TIMEOUT)
            servers.append(await stack.enter_async_context(Connections(f"http://{HOST}:{port}", timeout=TIMEOUT)))
        for server in servers:
            await _answering(server)
        began = time.monotonic()
        question = Request("asked", KEPT, headers={"Host": AUTHORITY})
        asked = (servers[number % PROCESSES].exchange(question) for number in range(clients))
        exchanges = await asyncio.gather(*asked)
        took = time.monotonic() - began
        wrong = [each for each in exchanges if each.response is None or each.response.status != 200]
        if wrong:
            raise NotWorkingError(f"{name}: {len(wrong)} of {clients} were not answered: {wrong[0].error}")
        computed = 0
        for server in servers:
            computed += int((await server.send(Request("calls", CALLS))).body)
    return [
        Measurement(GROUP, name, f"computed for {clients}", computed, ""),
        Measurement(GROUP, name, "all answered after", took, "s"),
    ]


async def _answering(server: Connections) -> None:
    async with asyncio.timeout(TIMEOUT):
        while (await server.exchange(Request("ready", CALLS))).error:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


# --- in a server's process --------------------------------------------------------------------------------------------


def _serve(pipe: Connection, name: str, url: str) -> None:
    async def run() -> None:
        make, _ = CONTENDERS[name]
        await SERVERS["uvicorn"](pipe, make(url))

    failures(pipe, run)
