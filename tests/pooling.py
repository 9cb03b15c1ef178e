"""A real PgBouncer before a server, in transaction mode with a single connection to it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, socket
from urllib.parse import urlsplit

import asyncpg
import pytest

__all__ = ["Pooler", "pooler", "running_pgbouncer"]


class Pooler:
    """A PgBouncer that can be told things, ended and started again at its port.

    Attributes:
        url: of the database that it passes on to.
    """

    def __init__(self, program: str, configuration: Path, url: str) -> None:
        self._command = [program, "-u", "nobody", "-q", str(configuration)]
        self._running: subprocess.Popen[bytes] | None = None
        self.url = url

    def start(self) -> None:
        """Start it, and wait until it listens."""
        address = urlsplit(self.url)
        self._running = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        while self._running.poll() is None:
            try:
                return create_connection((address.hostname or "", address.port or 0), timeout=1).close()
            except ConnectionRefusedError:
                continue
        raise RuntimeError("PgBouncer does not start")

    def end(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End it, and all connections through it."""
        assert self._running is not None
        self._running.send_signal(by)
        self._running.wait()

    async def tell(self, command: str) -> None:
        """A command of its console, such as PAUSE; returns when it is done."""
        console = await asyncpg.connect(self.url.rpartition("/")[0] + "/pgbouncer", statement_cache_size=0)
        try:
            await console.execute(command)
        finally:
            console.terminate()


@contextmanager
def running_pgbouncer(url: str, folder: Path, settings: Sequence[str] = ()) -> Iterator[str]:
    """The address of one that passes on to the database at ``url``; the arguments are those of ``pooler``."""
    with pooler(url, folder, settings) as running:
        yield running.url


@contextmanager
def pooler(url: str, folder: Path, settings: Sequence[str] = ()) -> Iterator[Pooler]:
    """A started PgBouncer before the database at ``url``.

    Args:
        url: the server's own address.
        folder: below which others than root may read.
        settings: more lines of its configuration.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    address = urlsplit(url)
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = address.path[1:]
    own = folder / f"pgbouncer-{port}"
    own.mkdir()
    own.chmod(0o755)
    configuration = own / "pgbouncer.ini"
    lines = [
        "[databases]",
        f"{name} = host={address.hostname} port={address.port} user={address.username} password={address.password}",
        *("[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}", "auth_type = any", "unix_socket_dir ="),
        f"admin_users = {address.username}",
        *("pool_mode = transaction", "default_pool_size = 1", *settings),
    ]
    configuration.write_text("\n".join([*lines, ""]))
    running = Pooler(program, configuration, f"postgresql://{address.username}@127.0.0.1:{port}/{name}")
    running.start()
    try:
        yield running
    finally:
        running.end()
