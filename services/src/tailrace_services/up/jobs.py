"""What ``up`` keeps beside its workers for the services' background jobs. Touches: signals, and what jobs touch.

It is what ``tailrace jobs work`` runs, for all services, in a process that a later ``up`` recognises when this one was
killed.
"""

from __future__ import annotations

import asyncio
import logging.config
import signal
from contextlib import AsyncExitStack

from tailrace.jobs import working
from tailrace.observe import counting_aside
from tailrace_services.services import SERVICES
from tailrace_services.settings import service_settings
from tailrace_services.up.serving import LOGGING

__all__ = ["main"]


async def main() -> None:
    """Do jobs until SIGTERM.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        for service in SERVICES:
            if (jobs := service.jobs()) is not None:
                settings = service_settings(service.name)
                metrics = await stack.enter_async_context(counting_aside(settings.http))
                await stack.enter_async_context(working(jobs, settings, observer=metrics))
        await stopped.wait()


if __name__ == "__main__":
    logging.config.dictConfig(LOGGING)
    asyncio.run(main())
