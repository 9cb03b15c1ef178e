"""PostgreSQL 18 from a wheel, as a server of one's own. Touches: processes, files, a loopback port.

Source: https://www.postgresql.org/docs/18/server-shutdown.html, https://www.postgresql.org/docs/18/app-initdb.html
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from tailrace.embedded import process
from tailrace.embedded.binaries import postgres_programs, psql_program
from tailrace.embedded.postgres_configuration import default_settings, host_rules, render
from tailrace.embedded.server import EmbeddedServer
from tailrace.errors import EmbeddedServerError

__all__ = ["PostgresServer"]

VERSION = "18"
USER = "tailrace"


class PostgresServer(EmbeddedServer):
    """One PostgreSQL on one folder.

    The database ``tailrace`` exists once it has started; its user of the same name is a superuser. Settings such as
    ``{"fsync": "off"}`` go over the defaults, and ``ALTER SYSTEM`` over both.

    Cost of a start: 1 to 2 s the first time, 0.1 to 0.3 s after; longer after a crash with much to recover.
    """

    product = "PostgreSQL"
    start_timeout = 300.0
    # Fast shutdown, then immediate, which leaves recovery to the next start.
    shutdown = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))

    def url(self, database: str = "tailrace") -> str:
        """The address of ``database``, with the password."""
        return f"postgresql://{USER}:{self._folder.password()}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    @property
    def psql_path(self) -> Path:
        """A ``psql`` of the server's version: ``[server.psql_path, server.url(), "-c", ...]``."""
        return psql_program()

    # --- databases --------------------------------------------------------------------------------

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement through ``psql``, outside a transaction; its unaligned output.

        Raises:
            EmbeddedServerError: the server refused it; the message is the server's.

        Cost: one process, about 15 ms.
        """
        # The password by environment, which other users cannot read, and not by argument, which they can.
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = subprocess.run(  # noqa: S603 - our own binary
            [str(self.psql_path), "-XqAt", "-v", "ON_ERROR_STOP=1", *address, "-c", statement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={"PGPASSWORD": self._folder.password(), "PGCONNECT_TIMEOUT": "10", "PATH": os.defpath},
        )
        if done.returncode:
            raise EmbeddedServerError(done.stderr.strip().removeprefix("psql: ").removeprefix("error: "))
        return done.stdout.removesuffix("\n")

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, empty or as a copy of ``template``, which nobody may be connected to.

        Raises:
            EmbeddedServerError: it exists, or the template is in use.
        """
        copy = f" TEMPLATE {_identifier(template)}" if template else ""
        self.execute(f"CREATE DATABASE {_identifier(name)}{copy}")

    def drop_database(self, name: str) -> None:
        """Drop a database, if there is one, and end its sessions."""
        self.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    def _complete(self) -> None:
        if not self.execute("SELECT 1 FROM pg_database WHERE datname = 'tailrace'"):
            self.create_database("tailrace")

    # --- starting ---------------------------------------------------------------------------------

    @property
    def _cluster(self) -> Path:
        return self._folder.path / "data"

    def _prepare(self) -> None:
        """Make the cluster, whole or not at all: it gets its name when it is complete."""
        version = self._cluster / "PG_VERSION"
        if version.exists():
            if (found := version.read_text().strip()) != VERSION:
                raise EmbeddedServerError(
                    f"{self._cluster} was made by PostgreSQL {found}, not {VERSION}: "
                    "dump it there, or choose another folder"
                )
            return
        fresh, password = self._cluster.with_suffix(".new"), self._cluster.with_suffix(".password")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(mode=0o700)
            password.unlink(missing_ok=True)
            password.touch(0o600)
            password.write_text(self._folder.password())
            if self._identity:
                for path in (fresh, password):
                    os.chown(path, self._identity.uid, self._identity.gid)
            self._run_initdb(fresh, password)
            fresh.rename(self._cluster)
        except OSError as error:
            raise self._folder.failure(error) from error
        finally:
            password.unlink(missing_ok=True)

    def _run_initdb(self, cluster: Path, password: Path) -> None:
        programs = postgres_programs(self._identity)
        # The builtin provider: Unicode by code point, the same on every machine, no locale to install.
        command: list[str | Path] = [programs / "initdb", "-D", cluster, f"--username={USER}", f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--set=scram_iterations=1", "--no-instructions"]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        done = process.run(command, identity=self._identity)
        if done.returncode:
            shutil.rmtree(cluster, ignore_errors=True)
            raise self._explain(done.stdout)

    def _command(self, port: int) -> tuple[list[str | Path], bytes]:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        rules = self._folder.write("pg_hba.conf", host_rules())
        own = {"port": str(port), "hba_file": str(rules), "cluster_name": self._folder.name}
        settings = {**default_settings(memory), **self._settings, **own}
        configuration = self._folder.write("postgresql.conf", render(settings))
        # No postmaster lives (the folder is locked, an orphan ended): what pid the file names means nothing now.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        program = postgres_programs(self._identity) / "postgres"
        return [program, "-D", self._cluster, "-c", f"config_file={configuration}"], b""

    def _ready(self) -> bool:
        """What ``pg_ctl`` looks at: the eighth line of the pid file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _reason(self, said: str) -> str:
        found = re.findall(r"(?:LOG|FATAL|PANIC|[Ee]rror):\s*(.+)", said) or said.strip().splitlines()
        # Of a wrong configuration the last line says only that it is wrong, the one before it what.
        while len(found) > 1 and found[-1].endswith("contains errors"):
            found.pop()
        return (found or ["no reason given"])[-1].strip()

    def _processes(self) -> list[int]:
        """The postmaster, by its argument, and its children, by the cluster's name in their titles."""
        argument, title = f"/postgres -D {self._cluster} ", f"postgres: {self._folder.name}: "
        found = process.find(lambda line: argument in f"{line} " or line.startswith(title), self._identity)
        return sorted(found, key=lambda pid: process.command_line(pid).startswith(title))


def _identifier(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'
