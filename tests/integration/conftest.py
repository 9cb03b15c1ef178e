"""A PgBouncer before a database."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import create_connection, socket
from urllib.parse import urlsplit

import pytest


@pytest.fixture
def pgbouncer(database_url: str, server_folder: Path) -> Iterator[str]:
    """PgBouncer in transaction mode with a single server connection, so that every leak shows."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    address = urlsplit(database_url)
    with closing(socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = address.path[1:]
    folder = server_folder / f"pgbouncer-{port}"
    folder.mkdir()
    folder.chmod(0o755)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{name} = host={address.hostname} port={address.port} "
        f"user={address.username} password={address.password}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        "pool_mode = transaction\ndefault_pool_size = 1\n"
    )
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
