"""What the tests of the stores share: a plain way to command the server, and a proxy to break the line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import hiredis
import pytest

from tailrace.testing.line import Line

Send = Callable[..., Awaitable[object]]


@pytest.fixture
def send(valkey_url: str) -> Send:
    """Send one command to the server on a connection of its own; errors are returned."""
    parts = urlsplit(valkey_url)

    async def send(*command: str) -> object:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        codec = hiredis.Reader()
        replies = []
        writer.write(hiredis.pack_command(("AUTH", parts.password or "")) + hiredis.pack_command(command))
        while len(replies) < 2:
            codec.feed(await reader.read(65536))
            while (reply := codec.gets()) is not False:
                replies.append(reply)
        writer.close()
        await writer.wait_closed()
        return replies[1]

    return send


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[Line]:
    """A proxy before the server."""
    port = urlsplit(valkey_url).port
    assert port is not None
    async with Line(port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(valkey_url: str, proxy: Line) -> str:
    """The server's address through the proxy."""
    return valkey_url.replace(f":{urlsplit(valkey_url).port}", f":{proxy.port}")
