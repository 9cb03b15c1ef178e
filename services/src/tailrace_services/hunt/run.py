"""One hunt from beginning to end. Touches: processes, databases, the network."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tailrace.embedded import PostgresServer, ValkeyServer
from tailrace.settings import FreshnessSettings
from tailrace.verify.client import Connections, Request
from tailrace_services.hunt.actors import Browser, Field, SqlClient, api_writer, reader, sql_writer
from tailrace_services.hunt.faults import Faults, Victims, timetable
from tailrace_services.hunt.probe import probe
from tailrace_services.hunt.quarry import Quarry
from tailrace_services.hunt.report import HuntReport
from tailrace_services.hunt.settling import Settler
from tailrace_services.hunt.sql_clients import DirectClient, PsqlClient
from tailrace_services.hunt.world import World
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.simulation import simulation
from tailrace_services.prove.stage import environment
from tailrace_services.up.service_databases import ServiceDatabases, prepare

__all__ = ["Plan", "hunt"]

SLACK = 0.05
"""Seconds added to the freshness bound for what lies between a server's clock and this one's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to hunt. ``faults`` are spread over ``seconds``; ``variables`` go over the servers' environment."""

    seconds: float = 60.0
    servers: int = 3
    api_writers: int = 8
    sql_writers: int = 7
    psql_writers: int = 1
    readers: int = 64
    users: int = 64
    probes: int = 2
    read_think: float = 0.25
    write_think: float = 0.30
    faults: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    seed: int = 1


Told = Callable[[str, float], None]


async def hunt(
    postgres: PostgresServer,
    valkey: ValkeyServer,
    quarry: Quarry,
    plan: Plan,
    told: Told = lambda what, share: None,
) -> HuntReport:
    """Hunt a service on servers that may be broken, which must be this hunt's own.

    Raises:
        ServerFailedError: a server does not start.
    """
    told("data", 0.0)
    data = await prepare(quarry.data, postgres.url("tailrace_hunt"), scale="small")
    world, last_call = await _world(quarry, data.url, plan)
    told("data", 1.0)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(_servers(quarry, postgres, valkey, data, plan))
        connections = [
            (server.name, await stack.enter_async_context(Connections(server.url, timeout=30.0))) for server in servers
        ]
        faults = Faults(Victims(postgres, valkey, servers, data.url), time.monotonic)
        field_ = Field(quarry, world, connections, Random(plan.seed), faults.calm)  # noqa: S311 - no secrets
        await _calibrate(field_)
        told("hunt", 0.0)
        settler = Settler(field_, data.url, last_call)
        await _run(stack, field_, settler, faults, plan, _moment(data), postgres, told)
        return await _report(field_, settler, faults)


@asynccontextmanager
async def _servers(
    quarry: Quarry, postgres: PostgresServer, valkey: ValkeyServer, data: ServiceDatabases, plan: Plan
) -> AsyncIterator[list[ServerProcess]]:
    async with AsyncExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-hunt-")))
        variables = environment(postgres.url("tailrace_hunt"), valkey.url, _moment(data), "hunt")
        variables |= quarry.variables
        if quarry.simulator is not None:
            provider = await stack.enter_async_context(simulation(quarry.simulator, logs))
            variables.update(quarry.simulator.variables(provider.url))
        variables |= plan.variables
        package = f"tailrace_services.{quarry.data.service}"
        servers = [
            ServerProcess(f"server {number}", f"{package}:app", variables, logs, ready=quarry.ready)
            for number in range(plan.servers)
        ]
        for server in servers:
            stack.push_async_callback(server.stop)
        await asyncio.gather(*(server.start() for server in servers))
        yield servers


def _moment(data: ServiceDatabases) -> str:
    assert data.dataset is not None  # it was generated just now
    return data.dataset.anchor.isoformat()


async def _world(quarry: Quarry, url: str, plan: Plan) -> tuple[World, int]:
    cast = await quarry.load(url, plan.users + plan.probes)
    bound = FreshnessSettings().bound + SLACK
    return World(cast.agents, cast.headers, bound, secrets.token_hex(4)), cast.last_call


async def _calibrate(field_: Field) -> None:
    """What every answer shows before anybody writes."""
    for user in field_.world.users.values():
        browser = Browser(field_, user, "calibration")
        agents = sorted(user.names)
        for name, endpoint in field_.quarry.endpoints.items():
            for agent in agents if "{agent}" in endpoint.target else agents[:1]:
                response = await browser.send(0, Request(name, endpoint.asked(user.id, agent)))
                if response.status != 200:
                    raise RuntimeError(f"{name} of user {user.id}: {response.status} {response.body[:300]!r}")
                field_.world.calibrate(user, endpoint.observe(agent, response.json()))


async def _run(
    stack: AsyncExitStack,
    field_: Field,
    settler: Settler,
    faults: Faults,
    plan: Plan,
    moment: str,
    postgres: PostgresServer,
    told: Told,
) -> None:
    url = settler.url
    direct = [DirectClient(url) for _ in range(plan.sql_writers + plan.probes)]
    for client in direct:
        stack.push_async_callback(client.aclose)
    clients: list[SqlClient] = [*direct[: plan.sql_writers]]
    clients += [PsqlClient(postgres.psql_path, url) for _ in range(plan.psql_writers)]
    probed = list(field_.world.users.values())[-plan.probes :] if plan.probes else []
    for user in probed:
        user.closed = True  # to everybody but the probe
    works: list[Coroutine[Any, Any, None]] = [settler.run()]
    works += [reader(field_, number, plan.read_think) for number in range(plan.readers)]
    works += [api_writer(field_, number, moment, plan.write_think) for number in range(plan.api_writers)]
    works += [sql_writer(field_, client, moment, plan.write_think) for client in clients]
    works += [
        probe(field_, user, direct[plan.sql_writers + number] if number % 2 else None)
        for number, user in enumerate(probed)
    ]
    works.append(_time(field_, faults, plan, told))
    works.append(faults.run(timetable(plan.seconds, plan.faults), told=lambda name: told(f"hunt: {name}", 0.0)))
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _time(field_: Field, faults: Faults, plan: Plan, told: Told) -> None:
    """End it when the time is over, every fault has been, and answers were judged for a while after the last."""
    began, tail = field_.now(), plan.seconds * 0.1
    while field_.now() < began + plan.seconds or not faults.done or field_.now() < faults.last + tail:
        await asyncio.sleep(0.25)
        told("hunt", min(1.0, (field_.now() - began) / plan.seconds))
    field_.seconds = field_.now() - began
    field_.over.set()


async def _report(field_: Field, settler: Settler, faults: Faults) -> HuntReport:
    """The last word is the database's: every acknowledged write is in it, and nothing that was refused."""
    settled = await asyncio.gather(*(settler.settle(user) for user in field_.world.users.values()))
    world = field_.world
    return HuntReport(
        seconds=field_.seconds,
        bound=world.bound - SLACK,
        slack=SLACK,
        users=len(world.users),
        checked=world.checked,
        reads=field_.reads,
        writes=field_.writes,
        outcomes=field_.outcomes,
        errors=field_.errors,
        calm_errors=field_.calm_errors,
        violations=world.violations,
        findings=world.findings,
        visibility=field_.visibility,
        asked_too_early=field_.asked_too_early,
        disturbed_visibility=field_.disturbed_visibility,
        faults=faults.log,
        unsettled=settled.count(False),
    )
