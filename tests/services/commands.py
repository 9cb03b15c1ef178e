"""A service's commands as a user runs them."""

from __future__ import annotations

import asyncio

import typer
from typer.testing import CliRunner, Result

__all__ = ["run"]


async def run(app: typer.Typer, *arguments: str) -> Result:
    """The command, on a thread: it runs an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
