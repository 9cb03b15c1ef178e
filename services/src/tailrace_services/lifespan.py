"""Run an ASGI application's lifespan from outside a server. Touches: one task.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

__all__ = ["Lifespan"]


class Lifespan:
    """One application's start and stop; ``state`` is what it wants in the scope of its requests."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._incoming: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Return when the application has started; at once for one without a lifespan.

        Raises:
            RuntimeError: it said that it failed, and why.
        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.create_task(self._app(scope, self._incoming.get, self._outgoing.put))
        answer = await self._exchange("lifespan.startup")
        if answer is None:
            # It raised before it said anything: by the specification, it does not speak this protocol.
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        elif answer["type"] == "lifespan.startup.failed":
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            raise RuntimeError(answer.get("message", "") or "the application did not start")

    async def stop(self) -> str | None:
        """Return when the application has stopped: None, or what went wrong."""
        if self._task is None:
            return None
        task, self._task = self._task, None
        answer = await self._exchange("lifespan.shutdown", task)
        results = await asyncio.gather(task, return_exceptions=True)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            return str(answer.get("message", "")) or "the application did not stop in order"
        return str(results[0]) if isinstance(results[0], Exception) else None

    async def _exchange(self, event: str, task: asyncio.Task[None] | None = None) -> Mapping[str, Any] | None:
        """Tell the application and wait for its word; None if it ends without one."""
        running = task or self._task
        assert running is not None
        self._incoming.put_nowait({"type": event})
        word = asyncio.create_task(self._outgoing.get())
        await asyncio.wait({word, running}, return_when=asyncio.FIRST_COMPLETED)
        if word.done():
            return word.result()
        word.cancel()
        # Both may have happened in the same turn of the loop.
        return None if self._outgoing.empty() else self._outgoing.get_nowait()
