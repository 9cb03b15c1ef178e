"""Chromium as a person's browser: it opens a page, lets its scripts work, and says what is there then."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
from pathlib import Path

import pytest

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WORK = 20_000
"""Milliseconds of the page's own time; they pass at once where nothing is waited for."""
PATIENCE = 120.0


def browser(folder: Path) -> list[str]:
    """The command that starts one with a profile of its own; skipped where there is none."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium-headless-shell")
    # Its sandbox does not start for root, and the only page that it sees is ours.
    return [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]


async def shown(url: str, folder: Path) -> tuple[str, list[str]]:
    """The page's elements once its scripts have worked, and its complaints; skipped where there is no browser."""
    command = [*browser(folder), "--enable-logging=stderr", f"--virtual-time-budget={WORK}", "--dump-dom", url]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, log = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode(), re.findall(r"CONSOLE.*", log.decode(errors="replace"))


def text_of(page: str) -> str:
    """What a person reads of it."""
    return " ".join(html.unescape(re.sub(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>", " ", page)).split())
