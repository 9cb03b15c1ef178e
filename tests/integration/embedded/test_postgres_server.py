"""An embedded PostgreSQL, real, killed and started in every way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import UNSAFE_BUT_FAST

from tailrace.embedded import PostgresServer, port_is_free, process
from tailrace.errors import EmbeddedServerError

FAST = {**UNSAFE_BUT_FAST, "shared_buffers": "16MB"}


@pytest.fixture
def folder(server_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder for one test's server."""
    return server_folder / request.node.name


@pytest.fixture(scope="module")
def server(server_folder: Path) -> Iterator[PostgresServer]:
    """A server that this module may kill; every test leaves it running."""
    with PostgresServer(server_folder / "killed", settings=FAST) as started:
        started.execute("CREATE TABLE kept (id int)")
        yield started


def rows(server: PostgresServer) -> int:
    return int(server.execute("SELECT count(*) FROM kept"))


def test_restart_keeps_data_and_port(server: PostgresServer) -> None:
    """Clients find the same server where it was."""
    server.execute("INSERT INTO kept VALUES (1)")
    before, port = rows(server), server.port
    server.restart()
    assert (rows(server), server.port) == (before, port)


def test_nothing_committed_is_lost_by_a_kill(server: PostgresServer) -> None:
    """SIGKILL of every process, as in a crash, then recovery."""
    server.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    before = rows(server)
    server.kill()
    assert not server.running
    assert port_is_free(server.port)
    server.start()
    assert rows(server) == before


def test_server_that_ended_by_itself_is_started_again(server: PostgresServer) -> None:
    """Whoever looks after it need not have ended it."""
    before = rows(server)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert process.wait_until(lambda: not server.running, 10)
    server.start()
    assert rows(server) == before


def test_kill_takes_every_process(server: PostgresServer) -> None:
    """No backend survives its postmaster to hold on to shared memory."""
    sleeping = subprocess.Popen(
        [server.psql_path, server.url(), "-c", "SELECT pg_sleep(600)"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    title = f"postgres: {server.execute('SHOW cluster_name')}: "
    busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    assert process.wait_until(lambda: server.execute(busy) == "1", 10)
    assert len(process.find(lambda line: line.startswith(title), process.server_identity())) > 3
    server.kill()
    assert process.find(lambda line: line.startswith(title), process.server_identity()) == []
    sleeping.communicate()
    server.start()


async def test_password_is_needed(server: PostgresServer) -> None:
    """Another user of this machine who finds the port gets nothing."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://tailrace:wrong@127.0.0.1:{server.port}/tailrace")


def test_password_is_for_its_owner_alone(server: PostgresServer) -> None:
    """The files that tell the password or the data are closed to others, and no command line shows it."""
    folder = server.log_path.parent
    password = (folder / "password").read_text().strip()
    assert (folder / "password").stat().st_mode & 0o777 == 0o600
    assert (folder / "data").stat().st_mode & 0o777 == 0o700
    assert server.log_path.stat().st_mode & 0o077 == 0
    everybody = [process.command_line(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    assert not [line for line in everybody if password in line]


def test_root_does_not_run_it(server: PostgresServer) -> None:
    """A hole in the server is not a hole in the machine."""
    assert server.pid is not None
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


def test_alter_system_has_the_last_word(server: PostgresServer) -> None:
    """What an administrator sets is not set back by the next start."""
    server.execute("ALTER SYSTEM SET work_mem = '7MB'")
    server.restart()
    assert server.execute("SHOW work_mem") == "7MB"


def test_extensions_of_the_measurements_are_there(server: PostgresServer) -> None:
    """Slow statements can be found without a restart."""
    server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    assert int(server.execute("SELECT count(*) FROM pg_stat_statements")) >= 0


def test_databases_are_made_from_templates(server: PostgresServer) -> None:
    """A copy has the template's rows and is its own."""
    server.create_database("copy", template="postgres")
    assert int(server.execute("SELECT count(*) FROM kept", "copy")) == rows(server)
    server.drop_database("copy")
    server.drop_database("copy")
    with pytest.raises(EmbeddedServerError, match="does not exist"):
        server.execute("SELECT 1", "copy")


def test_folder_of_a_living_supervisor_is_refused(server: PostgresServer) -> None:
    """Two postmasters on one folder would destroy it; the message names who has it."""
    with pytest.raises(EmbeddedServerError, match=rf"in use by process {os.getpid()} .*stop that first") as refusal:
        PostgresServer(server.log_path.parent, settings=FAST).start()
    assert "\n" not in str(refusal.value)
    assert server.running


def test_taken_port_is_named(folder: Path) -> None:
    """Nobody has to search a log for the reason."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f"port {port} on 127.0.0.1 is taken"):
            PostgresServer(folder, port=port, settings=FAST).start()
    assert not list(folder.glob("data/postmaster.pid"))


def test_wrong_setting_is_told_in_one_line(server: PostgresServer) -> None:
    """The server's own reason, and where its log is."""
    server.stop()
    try:
        with pytest.raises(
            EmbeddedServerError, match=r"PostgreSQL does not start: .*no_such_setting.*log: "
        ) as refusal:
            PostgresServer(server.log_path.parent, settings={"no_such_setting": "1"}).start()
        assert "\n" not in str(refusal.value)
    finally:
        server.start()


ORPHANING = """
import os, signal, sys
from pathlib import Path
from tailrace.embedded import PostgresServer, ValkeyServer
kind = {"postgres": PostgresServer, "valkey": ValkeyServer}[sys.argv[1]]
server = kind(Path(sys.argv[2])).start()
print(server.pid, server.port, flush=True)
if sys.argv[3] == "deaf":
    os.kill(server.pid, signal.SIGSTOP)
os.kill(os.getpid(), signal.SIGKILL)
"""


def orphan(kind: str, folder: Path, how: str) -> tuple[int, int]:
    """Start a server in a process that is then killed; the server's process id and port."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHANING, kind, str(folder), how], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid, port = done.stdout.split()
    return int(pid), int(port)


def test_server_ends_with_its_supervisor(server: PostgresServer) -> None:
    """A killed supervisor leaves no server behind, and none of its data is lost."""
    before = rows(server)
    server.stop()
    pid, _ = orphan("postgres", server.log_path.parent, "hears")
    assert process.wait_until(lambda: not process.is_running(pid), 30)
    server.start()
    assert rows(server) == before


def test_orphan_that_did_not_hear_is_replaced(server: PostgresServer) -> None:
    """A server that outlived its supervisor is ended by the next one, on whatever port it was."""
    before = rows(server)
    server.stop()
    pid, _ = orphan("postgres", server.log_path.parent, "deaf")
    assert process.is_running(pid)
    # Stopped processes act on nothing but SIGKILL and SIGCONT: continue it only after the replacement has begun.
    os.kill(pid, signal.SIGCONT)
    server.start()
    assert not process.is_running(pid)
    assert rows(server) == before


def test_stale_pid_file_that_names_a_living_process_is_no_obstacle(server: PostgresServer) -> None:
    """Process ids come round again."""
    server.kill()
    pid_file = server.log_path.parent / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    server.start()
    assert server.running
