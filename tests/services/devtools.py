"""Chromium as a person uses it: keys pressed, a window of some width, a page that goes on living. Touches: a process.

It is driven over a pair of pipes by its DevTools protocol: JSON, each message ended by a NUL.

**Source:** Chrome DevTools Protocol (``Target``, ``Runtime``, ``Input``, ``Emulation``), ``--remote-debugging-pipe``.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.services.browser import browser
from tests.waiting import wait_until

__all__ = ["Page", "opened"]

PATIENCE = 120.0
"""Seconds; only a broken browser takes them."""
MOST = 64 * 1024 * 1024
START = "import os, sys; [os.dup2(int(sys.argv[end - 2]), end) for end in (3, 4)]; os.execv(sys.argv[3], sys.argv[3:])"
"""The browser reads commands from 3 and answers at 4."""
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": (" ", 32, " ")}
"""What a key is called, its code and the text that it makes."""


class Page:
    """A page in a browser of its own."""

    def __init__(self, reader: asyncio.StreamReader, commands: int) -> None:
        self.complaints: list[str] = []
        self._commands = commands
        self._reader = reader
        self._number = 0
        self._session: str | None = None
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def open(self, url: str) -> None:
        """Go there; returns when the page has been read."""
        if self._session is None:
            target = await self.call("Target.createTarget", url="about:blank")
            found = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            self._session = found["sessionId"]
            await self.call("Runtime.enable")
        await self.call("Page.navigate", url=url)
        await wait_until(
            lambda: self.says(f"document.readyState === 'complete' && location.href === {json.dumps(url)}")
        )

    async def says(self, expression: str) -> Any:
        """What an expression gives in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def text(self, selector: str = "body") -> str:
        """What a person reads of an element: what is hidden is not there."""
        return str(await self.says(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def press(self, key: str) -> None:
        """Press a key and let it go."""
        name, code, text = KEYS[key]
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=name, code=key, windowsVirtualKeyCode=code, **more)

    async def type(self, text: str) -> None:
        """Put text where the focus is, as a keyboard does."""
        await self.call("Input.insertText", text=text)

    async def focus(self) -> str:
        """What keys go to: an element's id, or else its name."""
        return str(await self.says("document.activeElement.id || document.activeElement.localName"))

    async def call(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(PATIENCE):
            found = await answer
        assert "error" not in found, (method, found)
        return found["result"]

    async def listen(self) -> None:
        """Take what the browser says, until it ends."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                message = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if "id" in message:
                    self._answers.pop(message["id"]).set_result(message)
                elif message["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                    self.complaints.append(json.dumps(message["params"]))


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[Page]:
    """The page at ``url``, in a browser that ends with the block; skipped where there is none."""
    heard, commands = os.pipe()
    answers, said = os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (heard, said)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, *map(str, ends)),
        *(*browser(folder), "--remote-debugging-pipe", "about:blank"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=ends,
        start_new_session=True,
    )
    for end in (heard, said, *ends):
        os.close(end)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MOST)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(answers, "rb", buffering=0)
    )
    page = Page(reader, commands)
    listening = asyncio.create_task(page.listen())
    try:
        await page.open(url)
        yield page
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its own processes would outlive it, and hold the pipes
        await process.wait()
        await listening
        transport.close()
        os.close(commands)
