"""Brings up what a proof needs and takes it down again: servers as processes of their own, on one data set.

Touches: processes, databases, the store.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tailrace.stores import ValkeyStore
from tailrace.verify.client import Connections, Request
from tailrace_services.prove.databases import Databases, mark_written
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import ENDPOINTS, load_people

__all__ = ["Provider", "Stage", "environment", "provider_process", "stage"]

PACKAGE = "tailrace_services.voice_dashboard"
READY = "/api/billing/credits"
"""Answers 401 to who shows no key: the server is up."""


class Provider:
    """The voice provider's simulator and its faults."""

    def __init__(self, url: str) -> None:
        self._connections = Connections(url, timeout=5.0)

    async def behave(self, **faults: Any) -> None:
        """From now on these faults and no others: ``latency_ms=200``, ``outage="reset"``..."""
        await self._connections.send(Request("control", "/_control", "DELETE"))
        if faults:
            headers = {"Content-Type": "application/json"}
            request = Request("control", "/_control", "PATCH", headers, json.dumps(faults).encode())
            response = await self._connections.send(request)
            if response.status >= 300:
                raise RuntimeError(f"the simulator refused {faults}: {response.status} {response.body!r}")

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    site: Site
    provider: Provider
    optimised: ServerProcess
    databases: Databases


def environment(database_url: str, valkey_url: str, provider_url: str, now: str, namespace: str) -> dict[str, str]:
    """What a server of the service finds in its environment."""
    return {
        "TAILRACE_DATABASE_URL": database_url,
        "TAILRACE_VALKEY_URL": valkey_url,
        "TAILRACE_CACHE__NAMESPACE": namespace,
        "TAILRACE_SERVICES_PROVIDER_URL": provider_url,
        "TAILRACE_SERVICES_FIXED_NOW": now,
    }


def provider_process(logs: Path) -> ServerProcess:
    """The simulator as a process; it answers at once until it is told to behave otherwise."""
    app = f"{PACKAGE}.provider.simulator:Simulator"
    # Like the servers of real providers, it keeps idle connections for longer than a pause between two requests.
    arguments = ["--factory", "--lifespan", "off", "--timeout-keep-alive", "75"]
    return ServerProcess("provider", app, {}, logs, ready="/_control", arguments=arguments)


@asynccontextmanager
async def stage(databases: Databases, valkey_url: str) -> AsyncIterator[Stage]:
    """The simulator and the three servers, until the end of the block.

    Raises:
        ServerFailedError: one does not start.
    """
    namespace = f"prove-{os.getpid()}"
    await mark_written(databases)
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-prove-")))
        simulator = provider_process(logs)
        stack.push_async_callback(simulator.stop)
        await simulator.start()
        variables = environment(databases.server_url, valkey_url, simulator.url, databases.now.isoformat(), namespace)
        # One worker each: the cores are shared with the database, the cache and the load.
        optimised = ServerProcess("optimised", f"{PACKAGE}:app", variables, logs, ready=READY)
        baseline = ServerProcess("baseline", f"{PACKAGE}:baseline_app", variables, logs, ready=READY)
        factory = "tailrace_services.prove.reference:create_reference_app"
        reference = ServerProcess("reference", factory, variables, logs, ready=READY, arguments=["--factory"])
        for server in (optimised, baseline, reference):
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in (optimised, baseline, reference)))
        provider = Provider(simulator.url)
        stack.callback(provider.close)
        site = await _site(stack, databases, valkey_url, namespace, optimised, baseline, reference)
        yield Stage(site, provider, optimised, databases)


async def _site(
    stack: AsyncExitStack,
    databases: Databases,
    valkey_url: str,
    namespace: str,
    optimised: ServerProcess,
    baseline: ServerProcess,
    reference: ServerProcess,
) -> Site:
    store = ValkeyStore(valkey_url)
    stack.push_async_callback(store.aclose)
    pool = await stack.enter_async_context(asyncpg.create_pool(databases.url, min_size=1, max_size=4))
    people = await load_people(databases.url)
    await load_people(databases.baseline_url)

    async def empty_caches() -> None:
        # Deleting a key makes every process drop its own copy: the server pushes the word.
        await store.clear(namespace)

    async def restart_baseline() -> None:
        await baseline.kill()
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
            databases.baseline_url.rpartition("/")[2].partition("?")[0],
        )
        await baseline.start()

    stack.push_async_callback(empty_caches)
    return Site(
        people=people,
        endpoints=ENDPOINTS,
        now=databases.now,
        baseline=await stack.enter_async_context(Connections(baseline.url, timeout=120)),
        reference=await stack.enter_async_context(Connections(reference.url, timeout=120)),
        optimised=await stack.enter_async_context(Connections(optimised.url, timeout=30)),
        empty_caches=empty_caches,
        restart_baseline=restart_baseline,
        execute=pool.execute,
    )
