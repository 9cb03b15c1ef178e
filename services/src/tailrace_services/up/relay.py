"""The relays that ``up`` keeps beside its workers, one for each service's database. Touches: signals, and what a relay
touches.

They are what ``tailrace relay`` runs, in a process that a later ``up`` recognises when this one was killed.
"""

from __future__ import annotations

import asyncio
import logging.config
import signal
from contextlib import AsyncExitStack

from tailrace.db import relaying
from tailrace_services.services import SERVICES
from tailrace_services.settings import service_settings
from tailrace_services.up.serving import LOGGING

__all__ = ["main"]


async def main() -> None:
    """Relay until SIGTERM.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with AsyncExitStack() as stack:
        for service in SERVICES:
            await stack.enter_async_context(relaying(service_settings(service.name)))
        await stopped.wait()


if __name__ == "__main__":
    logging.config.dictConfig(LOGGING)
    asyncio.run(main())
