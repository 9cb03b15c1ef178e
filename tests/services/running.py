"""A running ``tailrace-services up`` for tests, with very few rows."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.services.data.samples import SAMPLES

from tailrace.embedded import process
from tailrace_services.settings import database_url
from tailrace_services.up.ground import ground
from tailrace_services.up.server_databases import connect_to_server

__all__ = ["PATIENCE", "Up", "small_home", "started"]

PATIENCE = 300.0
"""Seconds that only a broken start takes, on a machine that is busy with other things too."""


def small_home(folder: Path) -> Path:
    """A home whose databases hold very few rows, so that starting is quick."""
    with ground(folder, environment={}) as servers:

        async def load() -> None:
            for sample in SAMPLES:
                name = sample.data.service
                async with connect_to_server(servers.database_url) as server:
                    await server.create(f"tailrace_{name}")
                url = database_url(name, environment=servers.environment)
                await sample.data.migrations.migrate(url)
                await sample.data.generation.generate(url, sample.other)

        asyncio.run(load())
    return folder


class Up:
    """A running ``up`` and what it has said."""

    def __init__(self, home: Path, *arguments: str, output: str = "output") -> None:
        self.home = home
        self.output = home.parent / f"{home.name}-{output}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tailrace_services", "up", "--home", home, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                # Vectors take half a minute of a core, which nothing here is about.
                env={name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
                | dict.fromkeys(("TAILRACE_SERVICES_DEFAULT_DOCUMENTS", "TAILRACE_SERVICES_EMBED_POSTS"), "false")
                | {"TAILRACE_JOBS__MEASURE_INTERVAL": "0.5"},
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def await_announcement(self) -> None:
        ended = lambda: self.process.poll() is not None  # noqa: E731
        assert process.wait_until(lambda: "Ctrl-C stops everything" in self.said or ended(), PATIENCE), self.said
        assert not ended(), self.said

    @property
    def port(self) -> int:
        return int(json.loads((self.home / "run.json").read_text())["port"])

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask_as_printed(self) -> list[tuple[str, int, str | None]]:
        """Each ``curl`` command that it has printed, with the status and the media type that it is answered with."""
        answers = []
        for command in [line.strip() for line in self.said.splitlines() if line.startswith("  curl ")]:
            *options, url = shlex.split(command)[1:]
            given = list(zip(options[::2], options[1::2], strict=True))
            headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
            body = next((value for option, value in given if option == "-d"), None)
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
                path = url.removeprefix(f"http://127.0.0.1:{self.port}")
                connection.request("GET" if body is None else "POST", path, body, headers)
                response = connection.getresponse()
                answers.append((command, response.status, response.getheader("content-type")))
        return answers


@contextmanager
def started(home: Path, *arguments: str, output: str = "output") -> Iterator[Up]:
    """An ``up`` that serves; ended at the end if it has not."""
    up = Up(home, *arguments, output=output)
    try:
        up.await_announcement()
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
        up.process.wait(60)
