"""Brings up what a proof needs and takes it down again: servers as processes of their own, on one data set.

Touches: processes, databases, the store.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from tailrace.stores import ValkeyStore
from tailrace.verify.client import Connections
from tailrace_services.prove.databases import Databases
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.simulation import Simulation, simulation
from tailrace_services.prove.site import Site
from tailrace_services.prove.subject import Subject

__all__ = ["Stage", "environment", "stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. ``simulation`` is None for a service that calls nobody."""

    site: Site
    simulation: Simulation | None
    optimised: ServerProcess
    databases: Databases


def environment(database_url: str, valkey_url: str, now: str, namespace: str) -> dict[str, str]:
    """What a server of any service finds in its environment."""
    return {
        "TAILRACE_DATABASE_URL": database_url,
        "TAILRACE_VALKEY_URL": valkey_url,
        "TAILRACE_CACHE__NAMESPACE": namespace,
        "TAILRACE_SERVICES_FIXED_NOW": now,
    }


@asynccontextmanager
async def stage(subject: Subject, databases: Databases, valkey_url: str) -> AsyncIterator[Stage]:
    """The simulator, if there is one, and the three servers, until the end of the block.

    Raises:
        ServerFailedError: one does not start.
    """
    namespace = f"prove-{os.getpid()}"
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-prove-")))
        variables = environment(databases.server_url, valkey_url, databases.now.isoformat(), namespace)
        variables.update(subject.variables)
        simulated = None
        if subject.simulator is not None:
            simulated = await stack.enter_async_context(simulation(subject.simulator, logs))
            variables.update(subject.simulator.variables(simulated.url))
        # One worker each: the cores are shared with the database, the cache and the load.
        optimised = ServerProcess("optimised", f"{subject.package}:app", variables, logs, ready=subject.ready)
        baseline = ServerProcess("baseline", f"{subject.package}:baseline_app", variables, logs, ready=subject.ready)
        reference = ServerProcess(
            "reference", subject.reference, variables, logs, ready=subject.ready, arguments=["--factory"]
        )
        for server in (optimised, baseline, reference):
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in (optimised, baseline, reference)))
        site = await _site(stack, subject, databases, valkey_url, namespace, optimised, baseline, reference)
        yield Stage(site, simulated, optimised, databases)


async def _site(
    stack: AsyncExitStack,
    subject: Subject,
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
    people = await subject.load_people(databases.url)
    await subject.load_people(databases.baseline_url)

    async def empty_caches() -> None:
        # Deleting a key makes every process drop its own copy: the server pushes the word.
        await store.clear(namespace)

    async def restart_baseline() -> None:
        await baseline.kill()
        await pool.execute(
            # Waits until it has gone: what it did would otherwise go on beside what is measured next.
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1",
            databases.baseline_url.rpartition("/")[2].partition("?")[0],
        )
        await baseline.start()

    stack.push_async_callback(empty_caches)
    return Site(
        subject=subject,
        people=people,
        now=databases.now,
        baseline=await stack.enter_async_context(Connections(baseline.url, timeout=120)),
        reference=await stack.enter_async_context(Connections(reference.url, timeout=120)),
        optimised=await stack.enter_async_context(Connections(optimised.url, timeout=30)),
        empty_caches=empty_caches,
        restart_baseline=restart_baseline,
        execute=pool.execute,
    )
