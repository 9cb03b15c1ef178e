"""A real PgBouncer before a server, in transaction mode with a single connection to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, socket
from urllib.parse import urlsplit

import pytest

__all__ = ["running_pgbouncer"]


@contextmanager
def running_pgbouncer(url: str, folder: Path, settings: Sequence[str] = ()) -> Iterator[str]:
    """The address of one that passes on to the database at ``url``.

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
        *("pool_mode = transaction", "default_pool_size = 1", *settings),
    ]
    configuration.write_text("\n".join([*lines, ""]))
    running = subprocess.Popen([program, "-u", "nobody", "-q", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        while running.poll() is None:
            try:
                create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except ConnectionRefusedError:
                continue
        yield f"postgresql://{address.username}@127.0.0.1:{port}/{name}"
    finally:
        running.terminate()
        running.wait()
