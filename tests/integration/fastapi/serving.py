"""An application behind a real server, and bytes sent to it as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def served(app: Any, **config: Any) -> AsyncIterator[int]:
    """``app`` behind a real server, on a free port."""
    async with serving(app, **config) as server:
        yield server.servers[0].sockets[0].getsockname()[1]


@asynccontextmanager
async def serving(app: Any, **config: Any) -> AsyncIterator[uvicorn.Server]:
    """The same, given the server itself."""
    config = {"port": 0, "log_config": None, "lifespan": "on", "proxy_headers": False, **config}
    server = uvicorn.Server(uvicorn.Config(app, **config))
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0)
    try:
        yield server
    finally:
        server.should_exit = True
        await running


async def talk(port: int, text: bytes) -> bytes:
    """Send ``text`` and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer
