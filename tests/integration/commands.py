"""The project's command in this process, in a thread and with an event loop of its own."""

from __future__ import annotations

import asyncio

from typer.testing import CliRunner

from tailrace.cli.app import app

__all__ = ["tailrace_cache"]


async def tailrace_cache(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``tailrace cache``."""
    result = await asyncio.to_thread(CliRunner().invoke, app, ["cache", *arguments], env={"TERM": "dumb"})
    return result.exit_code, result.stdout, result.stderr
