"""``tailrace relay``: a relay in a process of its own. Touches: signals, and what a relay touches."""

from __future__ import annotations

import asyncio
import signal

import typer

from tailrace.cli.output import failure
from tailrace.errors import TailraceError

__all__ = ["relay"]


def relay() -> None:
    """Stamp what is committed, beside busy servers, until Ctrl-C or SIGTERM. Same environment as the servers'."""
    try:
        asyncio.run(_relay())
    except TailraceError as error:
        raise failure(error) from error


async def _relay() -> None:
    from tailrace.db import relaying
    from tailrace.settings import load_settings

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with relaying(load_settings()):
        typer.echo("relaying")
        await stopped.wait()
