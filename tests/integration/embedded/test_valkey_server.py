"""An embedded Valkey, real, killed and started in every way."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.embedded.test_postgres_server import orphan

from tailrace.embedded import ValkeyServer, port_is_free, process
from tailrace.errors import EmbeddedServerError


@pytest.fixture
def server(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[ValkeyServer]:
    """A server of one test's own."""
    with ValkeyServer(server_folder / request.node.name) as started:
        yield started


def test_restart_keeps_the_port_and_nothing_else(server: ValkeyServer) -> None:
    """A cache that comes back with old contents would have to be distrusted: it comes back empty."""
    server.execute("SET", "key", "value")
    port = server.port
    server.restart()
    assert (server.port, server.execute("DBSIZE")) == (port, "0")


def test_kill_frees_the_port_at_once(server: ValkeyServer) -> None:
    """A test that kills it can start it again where it was."""
    server.kill()
    assert not server.running
    assert port_is_free(server.port)
    server.start()
    assert server.execute("PING") == "PONG"


def test_password_is_needed_and_stands_in_no_command_line(server: ValkeyServer) -> None:
    """Another user of this machine who finds the port gets nothing."""
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")
    assert server.pid is not None
    password = (server.log_path.parent / "password").read_text().strip()
    assert (server.log_path.parent / "password").stat().st_mode & 0o777 == 0o600
    assert password in server.url
    assert password not in process.command_line(server.pid)


def test_refusal_is_an_error(server: ValkeyServer) -> None:
    """What the server refuses does not pass for an answer."""
    with pytest.raises(EmbeddedServerError, match="unknown command"):
        server.execute("NO_SUCH_COMMAND")


def test_folder_of_a_living_supervisor_is_refused(server: ValkeyServer) -> None:
    """One server a folder."""
    with pytest.raises(EmbeddedServerError, match=f"in use by process {os.getpid()}"):
        ValkeyServer(server.log_path.parent).start()
    assert server.execute("PING") == "PONG"


def test_server_ends_with_its_supervisor(server: ValkeyServer) -> None:
    """A killed supervisor leaves no server behind."""
    server.stop()
    pid, _ = orphan("valkey", server.log_path.parent, "hears")
    assert process.wait_until(lambda: not process.is_running(pid), 20)


def test_orphan_that_did_not_hear_is_replaced(server: ValkeyServer) -> None:
    """A server that outlived its supervisor is ended by the next one."""
    server.stop()
    pid, _ = orphan("valkey", server.log_path.parent, "deaf")
    os.kill(pid, signal.SIGCONT)
    server.start()
    assert not process.is_running(pid)
    assert server.execute("PING") == "PONG"


@pytest.mark.parametrize("settings", [{"maxmemory-policy": "no-such-policy"}])
def test_wrong_setting_is_told_in_one_line(server_folder: Path, settings: dict[str, str]) -> None:
    """The server's own reason, and where its log is."""
    with pytest.raises(EmbeddedServerError, match=r"Valkey does not start: .*log: ") as refusal:
        ValkeyServer(server_folder / "wrong", settings=settings).start()
    assert "\n" not in str(refusal.value)
