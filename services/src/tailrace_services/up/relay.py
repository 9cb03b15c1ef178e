"""The relay that ``up`` keeps beside its workers. Touches: signals, and what a relay touches.

It is what ``tailrace relay`` runs, as a process that a later ``up`` recognises when this one was killed.
"""

from __future__ import annotations

import asyncio
import signal

from tailrace.db import relaying
from tailrace.settings import load_settings

__all__ = ["main"]


async def main() -> None:
    """Relay until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with relaying(load_settings()):
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
