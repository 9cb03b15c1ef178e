"""A simulator of somebody else's service, as a process that is told how to behave. Touches: processes, the network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tailrace.verify.client import Connections, Request
from tailrace_services.prove.processes import ServerProcess
from tailrace_services.prove.subject import Simulator

__all__ = ["Simulation", "simulation"]

CONTROL = "/_control"


class Simulation:
    """A running simulator.

    Args:
        url: where it answers.
        latency_ms: see :class:`~tailrace_services.prove.subject.Simulator`.
    """

    def __init__(self, url: str, latency_ms: int) -> None:
        self.url = url
        self.latency_ms = latency_ms
        self._connections = Connections(url, timeout=5.0)

    async def behave(self, **faults: Any) -> None:
        """From now on these faults and no others: ``latency_ms=200``, ``outage="reset"``..."""
        await self._connections.send(Request("control", CONTROL, "DELETE"))
        if faults:
            headers = {"Content-Type": "application/json"}
            request = Request("control", CONTROL, "PATCH", headers, json.dumps(faults).encode())
            response = await self._connections.send(request)
            if response.status >= 300:
                raise RuntimeError(f"the simulator refused {faults}: {response.status} {response.body!r}")

    @asynccontextmanager
    async def as_in_life(self) -> AsyncIterator[None]:
        """Until the end of the block it takes as long as the real one."""
        await self.behave(latency_ms=self.latency_ms)
        try:
            yield
        finally:
            await self.behave()

    def close(self) -> None:
        """Let go of connections."""
        self._connections.close()


@asynccontextmanager
async def simulation(simulator: Simulator, logs: Path) -> AsyncIterator[Simulation]:
    """The simulator as a process, until the end of the block; it answers at once until it is told otherwise.

    Raises:
        ServerFailedError: it does not start.
    """
    # Like the servers of real providers, it keeps idle connections for longer than a pause between two requests.
    arguments = ["--factory", "--lifespan", "off", "--timeout-keep-alive", "75"]
    process = ServerProcess("simulator", simulator.factory, {}, logs, ready=CONTROL, arguments=arguments)
    try:
        await process.start()
        running = Simulation(process.url, simulator.latency_ms)
        try:
            yield running
        finally:
            running.close()
    finally:
        await process.stop()
