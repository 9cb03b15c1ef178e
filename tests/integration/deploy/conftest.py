"""Servers started with the files of ``deploy``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

import pytest

from tailrace.embedded import ValkeyServer, free_port, process

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


@contextmanager
def deployed_pgbouncer(url: str, folder: Path) -> Iterator[str]:
    """The deployed PgBouncer before the database of ``url``; its own address. ``folder``: where others may read."""
    address, port = urlsplit(url), free_port()
    folder = folder / f"deployed-pgbouncer-{port}"
    folder.mkdir(mode=0o755)
    (folder / "userlist.txt").write_text(f'"{address.username}" "{address.password}"\n')
    text = (DEPLOY / "pgbouncer" / "pgbouncer.ini").read_text()
    for there, here in (
        ("host=postgres port=5432", f"host={address.hostname} port={address.port}"),
        ("listen_addr = *", "listen_addr = 127.0.0.1"),
        ("listen_port = 6432", f"listen_port = {port}"),
        ("/etc/pgbouncer/userlist.txt", str(folder / "userlist.txt")),
    ):
        assert text.count(there) == 1
        text = text.replace(there, here)
    (folder / "test.ini").write_text(text)
    for path in folder.iterdir():
        path.chmod(0o644)
    command = [program("pgbouncer"), "-u", "nobody", str(folder / "test.ini")]
    with running(command, port, folder.parent / f"{folder.name}.log"):
        yield f"postgresql://{address.username}:{address.password}@127.0.0.1:{port}{address.path}"


class DeployedValkey(ValkeyServer):
    """A Valkey of the deployed file; only its address, password and folder are the test's."""

    def _command(self, port: int) -> tuple[list[str | Path], bytes]:
        program, own = super()._command(port)
        settings = dict(line.split(" ", 1) for line in own.decode().splitlines())
        kept = "".join(f"{name} {settings[name]}\n" for name in ("bind", "port", "requirepass", "dir"))
        return program, (DEPLOY / "valkey" / "valkey.conf").read_bytes() + kept.encode()
