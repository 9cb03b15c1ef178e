"""PostgreSQL 18 from a wheel, as a server of one's own. Touches: processes, files, a loopback port.

Source: https://www.postgresql.org/docs/18/server-shutdown.html, https://www.postgresql.org/docs/18/app-initdb.html
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tailrace.embedded import process
from tailrace.embedded.binaries import postgres_programs, psql_program
from tailrace.embedded.folder import FULL, ServerFolder
from tailrace.embedded.ports import free_port, port_is_free
from tailrace.embedded.postgres_configuration import default_settings, host_rules, render
from tailrace.errors import EmbeddedServerError

__all__ = ["PostgresServer"]

VERSION = "18"
USER = "tailrace"
START_TIMEOUT = 300.0
"""Seconds for which recovery after a crash may take before the start counts as failed."""

# Fast shutdown, then immediate (recovery at the next start), then none at all.
SHUTDOWN = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0))


class PostgresServer:
    """One server on one folder; a context manager.

    The database ``tailrace`` exists once it has started; its user of the same name is a superuser. The server ends when
    this process does. A server that a killed process left behind in ``data`` is shut down and replaced.

    Args:
        data: the server's folder, made if need be: data, password (owner only), log.
        port: None for the one of the last start if it is free, else any free one.
        settings: go over the defaults, e.g. ``{"fsync": "off"}``.
    """

    def __init__(self, data: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._identity = process.server_identity()
        self._folder = ServerFolder(data, self._identity)
        self._cluster = self._folder.path / "data"
        self._wanted_port = port
        self._port = port
        self._settings = dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start and wait until it accepts connections; nothing happens if it runs already.

        Raises:
            EmbeddedServerError: the folder is in use, the port taken, the disk full, or it does not start.

        Cost: 1 to 2 s the first time, 0.1 to 0.3 s after; longer after a crash with much to recover.
        """
        if self.running:
            return self
        self._folder.open()
        try:
            self._replace_orphan()
            self._initialise()
            self._launch()
            self._ensure_database("tailrace")
        except BaseException:
            self._kill_processes()
            self._folder.close()
            raise
        return self

    def stop(self) -> None:
        """Shut down in order: sessions are ended, data is written out. Idempotent."""
        if self._child is not None:
            process.end([self._child.pid], SHUTDOWN)
        self._kill_processes()
        self._folder.close()

    def kill(self) -> None:
        """SIGKILL the whole server, as a crash would."""
        self._kill_processes()
        self._folder.close()

    def restart(self) -> None:
        """Stop if it runs, then start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where it is ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._child.pid if self._child is not None and self.running else None

    @property
    def port(self) -> int:
        """The loopback port; known once started, and kept by ``restart``.

        Raises:
            EmbeddedServerError: never started, and no port was given.
        """
        if self._port is None:
            raise EmbeddedServerError("the server has no port before its first start")
        return self._port

    def url(self, database: str = "tailrace") -> str:
        """The address of ``database``, with the password."""
        return f"postgresql://{USER}:{self._folder.password()}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._folder.log

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

    def _ensure_database(self, name: str) -> None:
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):  # noqa: S608 - ours
            self.create_database(name)

    # --- starting ---------------------------------------------------------------------------------

    def _initialise(self) -> None:
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
        command: list[str | Path] = [
            programs / "initdb",
            "-D",
            cluster,
            "-U",
            USER,
            f"--pwfile={password}",
            "--auth=scram-sha-256",
        ]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--set=scram_iterations=1", "--no-instructions"]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        done = process.run(command, identity=self._identity)
        if done.returncode:
            shutil.rmtree(cluster, ignore_errors=True)
            raise self._explain(done.stdout)

    def _launch(self) -> None:
        """Start the postmaster; with no port asked for, try others when one is snatched away."""
        for attempt in range(5):
            port = self._choose_port(attempt)
            if self._try_launch(port):
                self._port = port
                self._folder.remember_port(port)
                return
        raise EmbeddedServerError("no port could be kept long enough to start PostgreSQL: give one")

    def _choose_port(self, attempt: int) -> int:
        fixed = self._wanted_port or self._port
        if fixed is not None:
            # A moment's patience for a predecessor's socket.
            if not process.wait_until(lambda: port_is_free(fixed), 2.0):
                raise EmbeddedServerError(
                    f"port {fixed} on 127.0.0.1 is taken: stop what listens there, or choose another"
                )
            return fixed
        last = self._folder.remembered_port()
        return last if last is not None and attempt == 0 and port_is_free(last) else free_port()

    def _try_launch(self, port: int) -> bool:
        """True once it accepts connections, False if another program took the port first."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        rules = self._folder.write("pg_hba.conf", host_rules())
        own = {"port": str(port), "hba_file": str(rules), "cluster_name": self._folder.name}
        configuration = self._folder.write(
            "postgresql.conf", render({**default_settings(memory), **self._settings, **own})
        )
        # No postmaster lives (the orphan is replaced, the folder locked): the file names a pid that means nothing now.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        written = self._folder.log_size()
        command: list[str | Path] = [postgres_programs(self._identity) / "postgres", "-D", self._cluster]
        command += ["-c", f"config_file={configuration}"]
        self._child = process.spawn(command, identity=self._identity, log=self._folder.log, death_signal=signal.SIGINT)
        if process.wait_until(lambda: self._ready() or not self.running, START_TIMEOUT) and self.running:
            return True
        said = self._folder.log_since(written)
        self._kill_processes()
        if "Address already in use" in said and self._wanted_port is None:
            return False
        raise self._explain(said)

    def _ready(self) -> bool:
        """What ``pg_ctl`` looks at: the eighth line of the pid file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def _explain(self, output: str) -> EmbeddedServerError:
        """One line out of what a program said."""
        if FULL in output:
            return self._folder.disk_full()
        found = re.findall(r"(?:FATAL|PANIC|[Ee]rror):\s*(.+)", output)
        reason = found[-1] if found else (output.strip().splitlines() or ["no reason given"])[-1]
        return EmbeddedServerError(f"PostgreSQL does not start: {reason.strip()} (log: {self._folder.log})")

    # --- ending -----------------------------------------------------------------------------------

    def _processes(self) -> list[int]:
        """The postmaster, by its argument, and its children, by the cluster's name in their titles."""
        argument, title = f"/postgres -D {self._cluster} ", f"postgres: {self._folder.name}: "
        return process.find(lambda line: argument in f"{line} " or line.startswith(title), self._identity)

    def _replace_orphan(self) -> None:
        """End what a dead supervisor left; its folder is ours now."""
        left = self._processes()
        postmasters = [pid for pid in left if not process.command_line(pid).startswith("postgres: ")]
        if postmasters:
            process.end(postmasters, SHUTDOWN)
        process.kill_all(self._processes)

    def _kill_processes(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            # Held still, so that it starts no further process while the others are looked up.
            process.send([child.pid], signal.SIGSTOP)
        process.kill_all(self._processes)
        if child is not None:
            child.wait()


def _identifier(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'
