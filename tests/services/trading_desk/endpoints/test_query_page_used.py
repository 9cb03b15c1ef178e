"""The page where people ask the documents, as people use it: by keys, on a phone, in the dark, on lines that break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.integration.fastapi.serving import served
from tests.services.devtools import Page, opened
from tests.services.trading_desk.endpoints.conftest import Service, StartService
from tests.services.trading_desk.endpoints.documents import QUESTIONS, TEXTS, load
from tests.waiting import wait_until

from tailrace.testing.line import PIECE, LineBase

QUESTION = QUESTIONS[0]
MARKUP = "<img src=x onerror=document.title='run'><script>document.title='run'</script><b>bold</b>"
HOSTILE = TEXTS | {"margin": f"# Margin {MARKUP}\n\nA margin call is answered within one hour. {MARKUP} says so.\n"}


BRIGHTNESS = """
(() => {
    const red = (id) => Number(getComputedStyle(document.getElementById(id)).color.match(/\\d+/)[0]);
    return {text: red("answer"), quiet: red("status")};
})()
"""
"""How much red there is in the answer and in what is less important; all of it is grey."""


async def ended(page: Page) -> bool:
    """The answer is whole, or there is none."""
    return await page.text("#status") == "Done."


async def answer(page: Page) -> str:
    """What the page shows as the answer."""
    return await page.text("#answer")


async def said(service: Service, question: str = QUESTION) -> str:
    """What the service says to whoever does not use the page."""
    reply = await service.ask("POST", "/query", body={"q": question}, trader=None)
    return str(reply.json()["answer"])


async def test_by_keys_alone(loaded: str, start_service: StartService, tmp_path: Path) -> None:
    """Who has no mouse types a question, asks it, and opens a source; the focus is where the eye expects it."""
    async with (
        start_service("optimised", at=loaded) as service,
        served(service.app, lifespan="off") as port,
        opened(f"http://127.0.0.1:{port}/query", tmp_path) as page,
    ):
        assert await page.focus() == "q"
        await page.type(QUESTION)
        await page.press("Enter")
        await wait_until(lambda: ended(page))
        assert await answer(page) == await said(service)
        seen = [await page.focus()]
        while seen[-1] != "summary":
            await page.press("Tab")
            seen.append(await page.focus())
            assert len(seen) < 10, seen
        assert seen == ["q", "corpus", "button", "summary"]
        quoted = "document.querySelector('details').open"
        assert not await page.says(quoted)
        await page.press("Enter")
        await wait_until(lambda: page.says(quoted))
        assert "answered within one hour" in await page.text("details")
        assert page.complaints == []


@pytest.fixture
async def hostile(new_database: Callable[[str], str]) -> str:
    """A database whose documents hold markup that would run."""
    url = new_database("optimised")
    await load(url, HOSTILE)
    return url


async def test_scripts_in_documents_are_text(hostile: str, start_service: StartService, tmp_path: Path) -> None:
    """Whatever a document says, in its words, its headings and what is quoted of it, is read and never run."""
    async with (
        start_service("optimised", at=hostile) as service,
        served(service.app, lifespan="off") as port,
        opened(f"http://127.0.0.1:{port}/query?{urlencode({'q': QUESTION})}", tmp_path) as page,
    ):
        await wait_until(lambda: ended(page))
        await page.says("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert "<script>document.title='run'</script>" in await page.text("#sources")
        assert await page.says("document.title") == "Ask the documents"
        assert await page.says("document.querySelectorAll('#result img, #result script, #result b').length") == 0


async def test_a_narrow_window_in_the_dark(loaded: str, start_service: StartService, tmp_path: Path) -> None:
    """On a phone nothing is wider than the window, however long a word is; light and dark are the reader's choice."""
    word = "w" * 400
    async with (
        start_service("optimised", at=loaded) as service,
        served(service.app, lifespan="off") as port,
        opened(f"http://127.0.0.1:{port}/query", tmp_path) as page,
    ):
        await page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=3, mobile=True)
        await page.open(f"http://127.0.0.1:{port}/query?{urlencode({'q': QUESTION})}")
        await wait_until(lambda: ended(page))
        await page.says(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; });"
            f"document.querySelectorAll('#answer, summary, blockquote').forEach((e) => {{ e.append('{word}'); }})"
        )
        assert await page.says("innerWidth") == 390
        assert await page.says("document.documentElement.scrollWidth") <= 390
        ground = {}
        for scheme in ("light", "dark"):
            await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            ground[scheme] = await page.says(BRIGHTNESS)
        assert ground["light"] == {"text": 0, "quiet": 0x55}
        assert ground["dark"] == {"text": 255, "quiet": 0xAA}


class CuttingLine(LineBase):
    """Ends each of the first event streams behind the first event of a kind, whatever has come behind it.

    Args:
        behind: names of events, one for each stream that is to break.
    """

    def __init__(self, port: int, behind: Sequence[str]) -> None:
        super().__init__(port)
        self._behind = list(behind)
        self.streams = 0

    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        asking = asyncio.create_task(self._ask(near[0], far[1]))
        try:
            await self._answer(far[0], near[1])
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await client.read(PIECE):
            server.write(data)
            await server.drain()

    async def _answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        last, told = None, b""
        while data := await server.read(PIECE):
            if b"text/event-stream" in data:
                self.streams += 1
                last = b"event: " + self._behind.pop(0).encode() if self._behind else None
                told = b""
            begun = len(told)
            told += data
            if last is not None and last in told and (end := told.find(b"\n\n", told.index(last))) >= 0:
                client.write(told[begun : end + 2])
                await client.drain()
                return
            client.write(data)
            await client.drain()


async def test_lines_that_break_amid_the_answer(loaded: str, start_service: StartService, tmp_path: Path) -> None:
    """Cut off behind a piece of the answer, and again behind its sources, the page goes on where it was: all of the
    answer once, in order."""
    async with (
        start_service("optimised", at=loaded) as service,
        served(service.app, lifespan="off") as port,
        CuttingLine(port, ["chunk", "sources"]) as line,
        opened(f"http://127.0.0.1:{line.port}/query?{urlencode({'q': QUESTION})}", tmp_path) as page,
    ):
        await wait_until(lambda: ended(page))
        resumptions = service.app.state.tailrace.metrics["tailrace.stream.resumptions"].series
        assert sum(series[0] for series in resumptions.values()) == 2
        assert resumptions.keys() <= {("continued",), ("replayed",)}
        assert line.streams == 3
        whole = await answer(page)
        assert whole == await said(service)
        assert whole.count("within one hour") == 1
        assert await page.says("document.querySelectorAll('#sources li').length") == 5
        assert "Made now" in await page.text("#found")


async def test_an_error_amid_the_answer(loaded: str, start_service: StartService, tmp_path: Path) -> None:
    """What goes wrong once the stream has begun is said where people look, and nothing is asked again by itself."""
    async with (
        start_service("optimised", at=loaded) as service,
        served(service.app, lifespan="off") as port,
        opened(f"http://127.0.0.1:{port}/query", tmp_path) as page,
    ):
        await wait_until(lambda: page.says("document.querySelectorAll('option').length > 0"))
        await service.sql("ALTER TABLE docs.chunks RENAME TO gone")
        await page.type(QUESTION)
        await page.press("Enter")
        await wait_until(lambda: page.says("document.getElementById('status').classList.contains('bad')"))
        assert await page.text("#status") not in ("", "Done.")
        assert await page.says("document.getElementById('stop').hidden")
        await service.sql("ALTER TABLE docs.gone RENAME TO chunks")
        await page.press("Enter")
        await wait_until(lambda: ended(page))
        assert await answer(page) == await said(service)
