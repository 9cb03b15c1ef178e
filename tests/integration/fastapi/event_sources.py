"""Clients of others that listen to event streams, each in a process of its own: Node's ``eventsource`` and Chromium."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from tests.integration.fastapi.serving import served

FOLDER = Path(__file__).with_name("eventsource")
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
PAGE = """<!doctype html>
<script type="module">
{listen}
const asked = new URLSearchParams(location.search);
listen(EventSource, asked.get("stream"), asked.get("listener"));
</script>
"""
CLIENTS = ("eventsource", "Chromium")
STOP = 10.0
"""Seconds for a client to end by itself."""
PATIENCE = 60.0
"""Seconds in which a client says something; less than that on any machine."""


class Listener:
    """A client, and what it says that it hears.

    Args:
        name: of ``CLIENTS``.
        service: the port at which it asks.
        folder: for its files.
    """

    def __init__(self, name: str, service: int, folder: Path) -> None:
        self._command = _node if name == "eventsource" else _browser
        self._service = f"http://127.0.0.1:{service}"
        self._folder = folder
        self._heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def page(self) -> HTMLResponse:
        """What the service has at ``/listen`` for a browser: it may listen only to where its page is from."""
        script = (FOLDER / "listen.mjs").read_text(encoding="utf-8").replace("export ", "")
        return HTMLResponse(PAGE.format(listen=script))

    async def hear(self, request: Request) -> Response:
        """Take what the client posts."""
        self._heard.put_nowait(await request.json())
        return Response(status_code=204)

    async def open(self, path: str, **query: str) -> None:
        """Start the client on a stream."""
        stream = f"{path}?{urlencode(query)}"
        listener = f"http://127.0.0.1:{self.port}/"
        self._process = subprocess.Popen(
            self._command(self._service, stream, listener, self._folder), stdin=subprocess.DEVNULL
        )

    async def told(self) -> dict[str, Any]:
        """What it hears next: an event, or the state that it is in."""
        async with asyncio.timeout(PATIENCE):
            return await self._heard.get()

    async def until(self, last: str) -> AsyncIterator[dict[str, Any]]:
        """Events up to the one of that name."""
        while True:
            event = await self.told()
            yield event
            if event["event"] == last:
                return

    def close(self) -> None:
        """End the client."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@asynccontextmanager
async def listening(name: str, service: int, folder: Path) -> AsyncIterator[Listener]:
    """One of ``CLIENTS`` that asks at a port of this machine; skipped where it is not installed."""
    own = Path(tempfile.mkdtemp(prefix="listener-", dir=folder))
    listener = Listener(name, service, own)
    app = FastAPI()
    app.post("/")(listener.hear)
    async with served(app) as listener.port:
        try:
            yield listener
        finally:
            await asyncio.to_thread(listener.close)


def _node(service: str, stream: str, listener: str, folder: Path) -> list[str]:
    node = shutil.which("node")
    if node is None or not (FOLDER / "node_modules").exists():
        pytest.skip(f"Node's EventSource needs node, and `npm ci` in {FOLDER.name}")
    return [node, str(FOLDER / "node.mjs"), service + stream, listener]


def _browser(service: str, stream: str, listener: str, folder: Path) -> list[str]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    page = f"{service}/listen?{urlencode({'stream': stream, 'listener': listener})}"
    # Its sandbox does not start for root, and the only page that it sees is ours; its port keeps it from ending.
    options = ("--headless", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}")
    return [program, *options, page]
