"""Servers started with the files of ``deploy``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection

import pytest

from tailrace.embedded import process

DEPLOY = Path(__file__).parents[3] / "deploy"


def program(name: str) -> str:
    """Where Debian's package puts it; without it the test is skipped, which CI does not accept."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server until the end of the block, from when its port answers."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def answers() -> bool:
        try:
            create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return started.poll() is not None
        return True

    try:
        assert process.wait_until(answers, 60)
        assert started.poll() is None, log.read_text()
        yield
    finally:
        started.terminate()
        started.wait()
