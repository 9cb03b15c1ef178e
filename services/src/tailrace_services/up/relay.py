"""The relays that ``up`` keeps beside its workers, one for each service's database. Touches: signals, and what a relay
touches.

They are what ``tailrace relay`` runs, in a process that a later ``up`` recognises when this one was killed.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

from pydantic import SecretStr

from tailrace.db import relaying
from tailrace.settings import load_settings
from tailrace_services.services import SERVICES
from tailrace_services.settings import database_url

__all__ = ["main"]


async def main() -> None:
    """Relay until SIGTERM.

    Raises:
        SettingsError: one line for every setting that is missing or wrong.
    """
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    settings = load_settings()
    async with AsyncExitStack() as stack:
        for service in SERVICES:
            url = SecretStr(database_url(service.name.replace("-", "_")))
            await stack.enter_async_context(relaying(settings.model_copy(update={"database_url": url})))
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
