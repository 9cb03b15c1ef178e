"""``tailrace-services up`` as its users meet it: started, asked, interrupted, killed, started again."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.services.data.samples import SAMPLES

from tailrace.embedded import free_port, process
from tailrace_services.settings import database_url
from tailrace_services.up.ground import ground
from tailrace_services.up.server_databases import connect_to_server

PATIENCE = 120.0
"""Seconds that only a broken start takes, on a machine that is busy with other things too."""


@pytest.fixture(scope="module")
def home(server_folder: Path) -> Path:
    """A home whose databases hold very few calls, so that starting is quick."""
    folder = server_folder / "up"
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
        self.output = home.parent / f"up-{output}"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tailrace_services", "up", "--home", home, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                # Half a minute of a core, which nothing here is about.
                env={name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
                | {"TAILRACE_SERVICES_DEFAULT_DOCUMENTS": "false"},
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


def processes_of(home: Path) -> list[int]:
    """Everything that an ``up`` in ``home`` started."""
    marks = [hashlib.sha256(os.fsencode(part)).hexdigest()[:16] for part in (home, home / "postgres", home / "valkey")]
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        line = process.command_line(pid)
        if f"-D {home}/" in line or any(f"tailrace-{mark}" in line for mark in marks):
            found.append(pid)
    return found


@pytest.fixture(scope="module")
def up(home: Path) -> Iterator[Up]:
    """One that serves with two workers."""
    with started(home, "--port", "0", "--workers", "2") as serving:
        yield serving


def test_printed_commands_work(up: Up) -> None:
    """What is printed can be copied, and answers."""
    commands = [line.strip() for line in up.said.splitlines() if line.startswith("  curl ")]
    assert len(commands) == 15
    for command in commands:
        *options, url = shlex.split(command)[1:]
        given = list(zip(options[::2], options[1::2], strict=True))
        headers = dict(value.split(": ", 1) for option, value in given if option == "-H")
        body = next((value for option, value in given if option == "-d"), None)
        with closing(http.client.HTTPConnection("127.0.0.1", up.port, timeout=30)) as connection:
            path = url.removeprefix(f"http://127.0.0.1:{up.port}")
            connection.request("GET" if body is None else "POST", path, body, headers)
            response = connection.getresponse()
            assert response.status in (200, 201), command
            assert response.getheader("content-type") == "application/json", command


def test_printed_addresses_answer(up: Up) -> None:
    """The list of services, each one's documentations and metrics, and readiness for whoever watches."""
    paths = re.findall(rf"^  (?!curl)\S.* http://127.0.0.1:{up.port}(/\S*)$", up.said, re.MULTILINE)
    assert len(paths) == 13
    assert {path: up.get(path)[0] for path in [*paths, "/livez", "/readyz"]} == dict.fromkeys(
        [*paths, "/livez", "/readyz"], 200
    )


def test_everything_relays_for_a_service(up: Up) -> None:
    """Nobody complains of a database without Tailrace's objects: workers and relays are on the services' own."""
    assert "will not be trusted" not in up.said, up.said


def test_workers_show_what_all_of_them_counted(up: Up) -> None:
    """Whichever worker answers, a service's metrics have both workers and every request that was made to either."""
    before = up.get("/trading-desk/metrics")[1].decode()

    def counted(text: str) -> float:
        name = 'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/livez"'
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    for _ in range(20):
        assert up.get("/trading-desk/livez")[0] == 200

    def complete() -> bool:
        text = up.get("/trading-desk/metrics")[1].decode()
        return text.count("\nprocess_start_time_seconds{") == 2 and counted(text) == counted(before) + 20

    assert process.wait_until(complete, PATIENCE)


def test_second_one_is_refused(up: Up) -> None:
    """It says which process serves where, in one line."""
    second = Up(up.home, "--port", str(free_port()), output="second")
    assert second.process.wait(60) == 1
    assert re.fullmatch(
        rf"tailrace-services: already running: process {up.process.pid} and serves http://127.0.0.1:\d+; .*\n",
        second.said,
    )


def test_what_ends_is_started_again(up: Up) -> None:
    """Workers, the database and the cache may die; the service comes back by itself, where it was."""
    victims = [
        pid
        for pid in processes_of(up.home)
        if re.search("up.serve|postgres -D|valkey-server", process.command_line(pid))
    ]
    assert len(victims) == 4
    process.send(victims, signal.SIGKILL)
    assert process.wait_until(lambda: up.said.count("starting it again") == 4 and _ready(up), PATIENCE), up.said


def test_what_a_kill_leaves_is_taken_over_and_an_interrupt_leaves_nothing(up: Up) -> None:
    """After kill -9 the next start serves on the same port; Ctrl-C then ends every process, and is no failure."""
    port, before = up.port, set(processes_of(up.home))
    up.process.kill()
    up.process.wait()
    with started(up.home, "--port", str(port), output="next") as after:
        assert after.get("/readyz")[0] == 200
        running = processes_of(up.home)
        assert not before & set(running)
        for part in ("up.serve", "up.jobs", "postgres -D", "valkey-server", "simulator"):
            assert len([pid for pid in running if part in process.command_line(pid)]) == 1, part
        after.process.send_signal(signal.SIGINT)
        assert after.process.wait(60) == 0
        assert processes_of(up.home) == []
        assert not (up.home / "run.json").exists()
        assert "Traceback" not in after.said


def _ready(up: Up) -> bool:
    try:
        return up.get("/readyz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_taken_port_is_told_in_one_line(home: Path) -> None:
    """Before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = Up(home, "--port", str(port), output="taken")
        assert up.process.wait(60) == 1
    assert re.fullmatch(rf"tailrace-services: port {port} on 127.0.0.1 is taken: .*\n", up.said)


def test_home_that_cannot_be_made_is_told_in_one_line(server_folder: Path) -> None:
    """With what to do about it."""
    (server_folder / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "tailrace_services", "up", "--home", server_folder / "file" / "home"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"tailrace-services: cannot use .*: Not a directory: set TAILRACE_HOME to another folder\n", done.stderr
    )


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("TAILRACE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:{port}/x"),
        ("TAILRACE_VALKEY_URL", "redis://:secret@127.0.0.1:{port}/0"),
    ],
)
def test_unreachable_server_is_told_in_one_line(server_folder: Path, variable: str, url: str) -> None:
    """Which variable named it, and not the password in it."""
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "tailrace_services", "up", "--port", "0", "--home", server_folder / "external"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, variable: url.format(port=port)},
    )
    assert done.returncode == 1
    assert f"cannot reach 127.0.0.1:{port} ({variable}): Connection refused" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_exits_with_2() -> None:
    """As every command line does."""
    done = subprocess.run(
        [sys.executable, "-m", "tailrace_services", "up", "--scale", "huge"], capture_output=True, check=False
    )
    assert done.returncode == 2
