"""A streaming replica of an embedded PostgreSQL, by ``pg_basebackup`` from the same wheel."""

from __future__ import annotations

import os
from pathlib import Path

from tailrace.embedded import PostgresServer, process
from tailrace.embedded.binaries import postgres_programs

__all__ = ["ReplicaServer"]


class ReplicaServer(PostgresServer):
    """Follows ``primary`` from its first start on, until it is promoted."""

    def __init__(self, data: Path, primary: PostgresServer, settings: dict[str, str]) -> None:
        super().__init__(data, settings=settings)
        self._primary = primary

    def promote(self) -> None:
        """Make a primary of it."""
        assert self.execute("SELECT pg_promote()") == "t"

    def _prepare(self) -> None:
        if (self._cluster / "PG_VERSION").exists():
            return
        address = self._primary._folder
        self._folder.write("password", address.password() + "\n")
        self._cluster.mkdir(mode=0o700)
        if self._identity:
            os.chown(self._cluster, self._identity.uid, self._identity.gid)
        source = f"host=127.0.0.1 port={self._primary.port} user=tailrace password={address.password()}"
        programs = postgres_programs(self._identity)
        command = [programs / "pg_basebackup", "-d", source, "-D", self._cluster, "-R", "-X", "stream", "-c", "fast"]
        done = process.run([*command, "--no-sync"], identity=self._identity)
        assert done.returncode == 0, done.stdout

    def _complete(self) -> None:
        """A replica has what its primary has."""

    def _ready(self) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() in ("ready", "standby")
