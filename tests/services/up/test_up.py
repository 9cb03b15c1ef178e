"""``tailrace-services up`` as its users meet it: started, asked, interrupted, killed, started again."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.services.implementations import run_sql
from tests.services.running import PATIENCE, Up, small_home, started

from tailrace.embedded import free_port, process
from tailrace_services.settings import database_url
from tailrace_services.up.occupancy import read_run

SERVICES = ("voice-dashboard", "call-coach", "research-hub", "trading-desk")


@pytest.fixture(scope="module")
def home(server_folder: Path) -> Path:
    """A home of very few rows."""
    return small_home(server_folder / "up")


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
    answers = up.ask_as_printed()
    assert len(answers) == 15
    for command, status, media_type in answers:
        assert status in (200, 201), command
        assert media_type == "application/json", command


def test_printed_addresses_answer(up: Up) -> None:
    """The list of services, each one's documentations and metrics, the page to ask on, and readiness."""
    paths = re.findall(rf"^  (?!curl)\S.* http://127.0.0.1:{up.port}(/\S*)$", up.said, re.MULTILINE)
    assert len(paths) == 14
    assert {path: up.get(path)[0] for path in [*paths, "/livez", "/readyz"]} == dict.fromkeys(
        [*paths, "/livez", "/readyz"], 200
    )


def test_everything_relays_for_a_service(up: Up) -> None:
    """Nobody complains of a database without Tailrace's objects: workers and relays are on the services' own."""
    assert "will not be trusted" not in up.said, up.said


def test_workers_show_what_all_of_them_counted(up: Up) -> None:
    """Whichever worker answers, a service's metrics have all its processes and every request that was made to any."""
    before = up.get("/trading-desk/metrics")[1].decode()

    def counted(text: str) -> float:
        name = 'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/livez"'
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    for _ in range(20):
        assert up.get("/trading-desk/livez")[0] == 200

    def complete() -> bool:
        text = up.get("/trading-desk/metrics")[1].decode()
        return text.count("\nprocess_start_time_seconds{") >= 2 and counted(text) == counted(before) + 20

    assert process.wait_until(complete, PATIENCE)


def test_slow_statements_are_shown(up: Up) -> None:
    """Which statements take the time of each service's database is counted from the start, with the plans they have."""
    for service in SERVICES:
        status, body = up.get(f"/{service}/monitoring/metrics/database")
        assert status == 200
        shown = json.loads(body)["statements"]
        assert shown, service
        assert all(statement["calls"] and statement["total_time"] for statement in shown)


def test_jobs_are_in_the_metrics_of_their_service(up: Up) -> None:
    """What the process of the jobs counts, any worker of the service shows; a job that died is seen there."""
    dead = r'^tailrace_job_dead\{job_name="([\w-]+)"\} (\d+)$'

    def shown() -> dict[str, int]:
        text = up.get("/research-hub/metrics")[1].decode()
        return {name: int(count) for name, count in re.findall(dead, text, re.MULTILINE)}

    assert process.wait_until(lambda: set(shown().values()) == {0}, PATIENCE), up.get("/research-hub/metrics")[1]
    [name, *_] = shown()
    run = read_run(up.home)
    assert run is not None
    url = database_url("research-hub", environment={"TAILRACE_DATABASE_URL": run.database_url})
    put = (
        "INSERT INTO tailrace_jobs.pgqueuer (priority, entrypoint, status, execute_after, heartbeat, created, updated) "
        f"VALUES (0, '{name}', 'failed', now(), now(), now(), now())"
    )
    asyncio.run(run_sql(url, put))
    assert process.wait_until(lambda: shown()[name] == 1, PATIENCE)
    asyncio.run(run_sql(url, "DELETE FROM tailrace_jobs.pgqueuer WHERE status = 'failed'"))
    assert process.wait_until(lambda: shown()[name] == 0, PATIENCE)


def test_log_lines_have_the_request_id(tmp_path: Path) -> None:
    """Whatever a worker logs while it answers tells which request that was."""
    said = tmp_path / "said"
    with socket.socket() as listener, said.open("wb") as output:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        command = [sys.executable, "-m", "tailrace_services.up.serve", "--fd", str(listener.fileno())]
        command += ["--app", "tests.services.up._failing:create_app"]
        serving = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[3],
            stderr=output,
            pass_fds=[listener.fileno()],
            env={name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")},
        )
        try:
            with closing(http.client.HTTPConnection(*listener.getsockname(), timeout=PATIENCE)) as connection:
                connection.request("GET", "/failing", headers={"X-Request-ID": "mine-17"})
                assert connection.getresponse().status == 500
        finally:
            serving.terminate()
            serving.wait(60)
    assert re.search(r"^\S+ \S+ ERROR \S+ mine-17 ", said.read_text(), re.MULTILINE), said.read_text()


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
